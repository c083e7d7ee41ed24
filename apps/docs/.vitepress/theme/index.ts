import type { Theme } from 'vitepress'
import DefaultTheme from 'vitepress/theme-without-fonts'
import MermaidDiagram from './MermaidDiagram.vue'
import StudioFrame from './StudioFrame.vue'
import StudioLink from './StudioLink.vue'
import './style.css'

export default {
  extends: DefaultTheme,
  enhanceApp({ app }) {
    app.component('MermaidDiagram', MermaidDiagram)
    app.component('StudioFrame', StudioFrame)
    app.component('StudioLink', StudioLink)
  },
} satisfies Theme
