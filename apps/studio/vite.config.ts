import { defineConfig } from 'vite'
import { classicPage } from './build/classic-page.ts'
import { themeStyles } from './build/theme-styles.ts'
import { workerScripts } from './build/worker-scripts.ts'

export default defineConfig({
  base: './',
  // The documentation has an older React, which libraries of this page would find first.
  resolve: { dedupe: ['react', 'react-dom'] },
  plugins: [themeStyles(), workerScripts(), classicPage()],
  build: {
    target: 'es2022',
    modulePreload: false,
    cssCodeSplit: false,
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 2000,
    rolldownOptions: { output: { format: 'iife', entryFileNames: 'studio.js', assetFileNames: 'studio[extname]' } },
  },
})
