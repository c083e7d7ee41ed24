import { type Json, type Plugin, ShardloomError } from '@shardloom/core'
import * as z from 'zod'
import { checkNesting, schemaError, shown } from './spec-error.js'
import type { Spec } from './spec-schema.js'

/** Imports an ES module that a spec names and returns its namespace. The host decides what a path means. */
export type ImportPlugin = (path: string) => unknown | Promise<unknown>

/**
 * The plugins that a spec names: each module's default export, or its only export, is a plugin or a factory that takes
 * the plugin's options from `options.<name>`. Options are checked against the plugin's JSON Schema where it has one.
 * Throws `NO_ACCESS`, `PLUGIN`, `OPTIONS_VALUE` and `OPTIONS_KEY`.
 */
export async function loadPlugins(spec: Spec, importPlugin: ImportPlugin | undefined): Promise<Plugin[]> {
  const plugins: Plugin[] = []
  for (const path of spec.plugins) {
    if (!importPlugin) {
      throw new ShardloomError(
        'NO_ACCESS',
        `The spec names the plugin ${shown(path)}, but no modules can be imported here.`,
        {
          subject: 'plugins',
          help: 'Pass the plugin itself, or `importPlugin`.',
        },
      )
    }
    plugins.push(makePlugin(exportOf(await importPlugin(path), path), path, spec))
  }
  return plugins
}

function exportOf(namespace: unknown, path: string): unknown {
  const exports = typeof namespace === 'object' && namespace !== null ? Object.entries(namespace) : []
  const named = exports.find(([name]) => name === 'default') ?? (exports.length === 1 ? exports[0] : undefined)
  if (named) return named[1]
  throw new ShardloomError('PLUGIN', `The module ${shown(path)} has no default export, so its plugin is unknown.`, {
    subject: path,
    help: 'Export the plugin, or a factory of it, as default.',
  })
}

function makePlugin(exported: unknown, path: string, spec: Spec): Plugin {
  if (typeof exported !== 'function') {
    const plugin = exported as Plugin // composePlugins checks the shape and refuses anything else
    const name = typeof plugin?.name === 'string' ? plugin.name : ''
    if (Object.hasOwn(spec.options, name)) {
      throw new ShardloomError(
        'OPTIONS_KEY',
        `The plugin \`${name}\` takes no options: its module exports no factory.`,
        {
          subject: `options.${name}`,
          help: 'Remove the options, or export a function that takes them.',
        },
      )
    }
    return plugin
  }
  const make = (options: unknown): Plugin => {
    try {
      return exported(options)
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause)
      throw new ShardloomError('PLUGIN', `The plugin ${shown(path)} could not be made: ${reason}`, {
        subject: path,
        cause,
      })
    }
  }
  const plugin = make({})
  const name = typeof plugin?.name === 'string' ? plugin.name : ''
  if (!Object.hasOwn(spec.options, name)) return plugin
  return make(checkedOptions(plugin, spec.options[name]))
}

function checkedOptions(plugin: Plugin, options: unknown): unknown {
  checkNesting(options, 'options')
  if (plugin.options === undefined) return options
  const result = jsonSchema(plugin, plugin.options).safeParse(options)
  if (result.success) return options
  const keysAt = (path: readonly string[]) => (path.length ? [] : propertiesOf(plugin.options))
  throw schemaError(result.error.issues, options, { kind: 'options', keysAt })
}

function jsonSchema(plugin: Plugin, schema: Json): z.ZodType {
  try {
    return z.fromJSONSchema(schema as Parameters<typeof z.fromJSONSchema>[0]) // zod itself refuses what is no JSON Schema
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new ShardloomError('PLUGIN', `The options of the plugin \`${plugin.name}\` are no JSON Schema: ${reason}.`, {
      cause,
    })
  }
}

function propertiesOf(schema: Json | undefined): string[] {
  if (typeof schema !== 'object' || schema === null || !('properties' in schema)) return []
  return Object.keys(schema.properties ?? {})
}
