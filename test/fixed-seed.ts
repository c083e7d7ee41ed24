import fc from 'fast-check'

/** Properties are tried on the same examples at every run; SHARDLOOM_SEED, a whole number, tries them on others. */
fc.configureGlobal({ ...fc.readConfigureGlobal(), seed: Number(process.env['SHARDLOOM_SEED'] ?? 1) })
