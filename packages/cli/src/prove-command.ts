import type { Command } from 'commander'
import { exitCode } from './exit-code.js'
import type { Call } from './io.js'
import { printJson, printLines, printWarnings, withProgress } from './output.js'
import { addSpecFlags, type Flags, loadFrom } from './spec-flags.js'

/** `shardloom prove`: runs a small copy of a plan on virtual ranks; the exit code is 3 when it computes something else. */
export function addProve(program: Command, { io, finish }: Call): void {
  const command = program
    .command('prove [spec]')
    .description('Run the plan of a spec, with small sizes, on virtual ranks and compare it with one device.')
    .option('--json', 'print one JSON document (shardloom.prove/1)')
    .addHelpText('after', '\nExample:\n  shardloom prove --model llama-3.1-8b --tp 2 --dp 2 --batch 8')
    .action(async (specPath: string | undefined, flags: Flags) => {
      // No other command runs a plan: the interpreter is loaded here.
      const { proofWork, servingProofWork } = await import('shardloom/testing')
      const { proofLines, servingProofLines } = await import('./proof-lines.js')
      const loaded = await loadFrom(io, specPath, flags)
      if (loaded.spec.phase === 'serving') {
        const proof = await withProgress(io, servingProofWork(loaded))
        if (!proof.proven) finish(exitCode.answerIsNo)
        if (flags.json === true) return printJson(io, proof)
        printWarnings(io, [...proof.prefill.warnings, ...proof.decode.warnings])
        return printLines(io, (style) => servingProofLines(proof, style))
      }
      const proof = await withProgress(io, proofWork(loaded))
      if (!proof.proven) finish(exitCode.answerIsNo)
      if (flags.json === true) return printJson(io, proof)
      printWarnings(io, proof.warnings)
      printLines(io, (style) => proofLines(proof, style))
    })
  addSpecFlags(command)
}
