import type { Command } from 'commander'
import { cutMiddle, type Verification, verifyPlan } from 'shardloom'
import { exitCode } from './exit-code.js'
import type { Call } from './io.js'
import { printJson, printLines, printWarnings } from './output.js'
import { addSpecFlags, type Flags, phasesOf, planFrom } from './spec-flags.js'
import { type Style, singleLine } from './style.js'
import { table, wrapped } from './table.js'

/** `shardloom verify`: checks a plan against every rule; the exit code is 3 when one is violated. */
export function addVerify(program: Command, { io, finish }: Call): void {
  const command = program
    .command('verify [spec]')
    .description('Check the plan of a spec against every rule.')
    .option('--json', 'print one JSON document (shardloom.verify/1)')
    .addHelpText('after', '\nExample:\n  shardloom verify --model llama-3.1-8b --tp 2 --dp 2 --batch 8')
    .action(async (specPath: string | undefined, flags: Flags) => {
      const planned = await planFrom(io, specPath, flags)
      const verification = verifyPlan(planned)
      if (!verification.ok) finish(exitCode.answerIsNo)
      if (flags.json === true) return printJson(io, verification)
      printWarnings(
        io,
        phasesOf(planned).flatMap(({ warnings }) => warnings),
      )
      printLines(io, (style) => verifyLines(verification, style))
    })
  addSpecFlags(command)
}

/** At most this many violations of one rule are printed. */
const shownViolations = 5

function verifyLines({ rules, ok }: Verification, style: Style): string[] {
  const columns = [
    { header: 'rule', align: 'right' },
    { header: 'name', align: 'left' },
    { header: 'checked', align: 'right' },
    { header: 'verdict', align: 'left' },
  ] as const
  const rows = rules.map(({ rule, name, checked, violations }) => [
    cutMiddle(singleLine(String(rule)), 14),
    cutMiddle(singleLine(String(rule) === name ? '' : name), 53),
    checked.toLocaleString('en'),
    violations.length === 0 ? style.good('holds') : style.bad(`${violations.length} broken`),
  ])
  const details = rules.flatMap(({ rule, violations }) => {
    const rest = violations.length - shownViolations
    return [
      ...violations
        .slice(0, shownViolations)
        .flatMap(({ message, help }) => [
          '',
          ...wrapped(singleLine(`Rule ${rule}: ${message}`), 2),
          ...wrapped(singleLine(help), 4).map(style.dim),
        ]),
      ...(rest > 0 ? [`  and ${rest} more; --json lists all`] : []),
    ]
  })
  const verdict = ok ? style.good('Every rule holds.') : style.bad('The plan violates a rule.')
  return [...table(columns, rows, style), ...details, '', verdict]
}
