import shardloom from 'remark-shardloom/markdown-it'
import { defineConfig } from 'vitepress'

export default defineConfig({
  title: 'Shardloom',
  description: 'The explicit graph that a cluster would run, from a model and a parallel strategy',
  lang: 'en',
  head: [['link', { rel: 'icon', type: 'image/svg+xml', href: '/favicon.svg' }]],
  outDir: 'dist',
  cleanUrls: true,
  srcExclude: ['generated/**'],
  markdown: {
    config(md) {
      const fence = md.renderer.rules.fence
      if (!fence) throw new Error('VitePress has no renderer for fenced code')
      md.renderer.rules.fence = (tokens, index, ...rest) => {
        const token = tokens[index]
        return token?.info.trim() === 'mermaid'
          ? `<MermaidDiagram source="${encodeURIComponent(token.content)}" />`
          : fence(tokens, index, ...rest)
      }
      md.use(shardloom, { vue: true, cache: false })
    },
  },
  vite: { build: { chunkSizeWarningLimit: 2_000 } },
  themeConfig: {
    search: { provider: 'local' },
    outline: 'deep',
    nav: [
      { text: 'Start', link: '/getting-started' },
      { text: 'Concepts', link: '/concepts/' },
      { text: 'Guides', link: '/guides/write-a-strategy' },
      { text: 'Studio', link: '/guides/studio' },
      { text: 'Reference', link: '/reference/commands' },
    ],
    sidebar: [
      { text: 'Getting started', link: '/getting-started' },
      {
        text: 'Concepts',
        items: [
          { text: 'Three ideas', link: '/concepts/' },
          { text: 'Dims and rules', link: '/concepts/dims-and-rules' },
          { text: 'Placements', link: '/concepts/placements' },
          { text: 'Regions', link: '/concepts/regions' },
          { text: 'Phases', link: '/concepts/phases' },
          { text: 'Memory', link: '/concepts/memory' },
          { text: 'Time', link: '/concepts/time' },
          { text: 'Serving in time', link: '/concepts/serving' },
          { text: 'Pipeline schedules', link: '/concepts/schedules' },
        ],
      },
      {
        text: 'Strategies',
        items: [
          { text: 'Tensor parallelism', link: '/strategies/tp' },
          { text: 'Data parallelism', link: '/strategies/dp' },
          { text: 'Sequence parallelism', link: '/strategies/sp' },
          { text: 'Expert parallelism', link: '/strategies/ep' },
          { text: 'Pipeline parallelism', link: '/strategies/pp' },
        ],
      },
      {
        text: 'Guides',
        items: [
          { text: 'Which parallelism should I use?', link: '/guides/which-parallelism' },
          { text: 'Studio', link: '/guides/studio' },
          { text: 'Hybrids that people run', link: '/guides/hybrids' },
          { text: 'Write a strategy in 15 minutes', link: '/guides/write-a-strategy' },
          { text: 'Pictures and reports', link: '/guides/pictures' },
          { text: 'Launch what is planned', link: '/guides/launchers' },
          { text: 'Graphs and tables', link: '/guides/tables' },
          { text: 'Traces for ASTRA-sim', link: '/guides/chakra' },
          { text: 'Models for ONNX tools', link: '/guides/onnx' },
          { text: 'Write an exporter', link: '/guides/write-an-exporter' },
          { text: 'Agents', link: '/guides/agents' },
          { text: 'From a question to a plan', link: '/guides/skill' },
          { text: 'Pictures in documentation', link: '/guides/documentation' },
          { text: 'Embed it', link: '/guides/embed' },
        ],
      },
      {
        text: 'Reference',
        items: [
          { text: 'Commands', link: '/reference/commands' },
          { text: 'The spec', link: '/reference/spec' },
          { text: 'Clusters', link: '/reference/cluster' },
          { text: 'JSON output', link: '/reference/json' },
          { text: 'Accuracy', link: '/reference/accuracy' },
          { text: 'Writing a plugin', link: '/reference/plugin' },
          { text: 'Programs as text', link: '/reference/program-text' },
        ],
      },
    ],
  },
})
