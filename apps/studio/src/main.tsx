import { createRoot } from 'react-dom/client'
import 'virtual:theme.css'
import '@xyflow/react/dist/base.css'
import './styles/page.css'
import './styles/top-bar.css'
import './styles/setup.css'
import './styles/graph.css'
import './styles/timeline.css'
import './styles/memory.css'
import './styles/compare.css'
import './styles/search.css'
import './styles/learn.css'
import './styles/inspector.css'
import './styles/narrow.css'
import { App } from './shell/app.jsx'

const place = document.getElementById('studio')
if (place) createRoot(place).render(<App />)
