/** Launchers: what other tools are told for a spec, and a spec from what they are told. */
export {
  exportLaunch,
  importLaunch,
  type LauncherName,
  type LaunchText,
  launcherNames,
  launchers,
} from './launch/launch.js'
