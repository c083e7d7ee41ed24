import { basename } from 'node:path'
import { planLoaded, planServingLoaded } from 'shardloom'
import type { LauncherName } from 'shardloom/launch'
import { loadFrom } from '../spec-flags.js'
import { writeWhole } from '../write-file.js'
import type { ExportFormat } from './format.js'

/** A script that starts Megatron-LM. */
export const megatron = launcher('megatron', 'Megatron-LM flags', ['sh'])

/** A job file of torchtitan, and the order of actions beside it where its schedule is one of ours. */
export const torchtitan = launcher('torchtitan', 'torchtitan TOML', ['toml'])

/** A configuration of DeepSpeed. */
export const deepspeed = launcher('deepspeed', 'DeepSpeed JSON')

/** A script that starts vLLM. */
export const vllm = launcher('vllm', 'vLLM flags', ['sh'])

/** A script that starts SGLang. */
export const sglang = launcher('sglang', 'SGLang flags', ['sh'])

function launcher(name: LauncherName, title: string, extensions: readonly string[] = []): ExportFormat {
  return {
    title,
    extensions,
    options: [],
    make: async ({ io, specPath, flags, out }) => {
      const loaded = await loadFrom(io, specPath, flags)
      // Nobody is told how to start what cannot be planned.
      const warnings =
        loaded.spec.phase === 'serving' ? planServingLoaded(loaded).prefill.warnings : planLoaded(loaded).warnings
      const { exportLaunch } = await import('shardloom/launch') // its libraries are loaded only for this
      const beside = out === '-' ? undefined : out.replace(/\.toml$/, '') + scheduleEnding
      const { text, files, notes } = exportLaunch(loaded, name, {
        ...(beside !== undefined && { scheduleFile: basename(beside) }),
      })
      for (const file of files)
        await writeWhole(io, beside ?? file.name, async (stream) => void stream.write(file.text))
      return { warnings, notice: notes.join('; '), chunks: [text], report: { notes } }
    },
  }
}

const scheduleEnding = '.schedule.csv'
