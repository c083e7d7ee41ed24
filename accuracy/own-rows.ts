/** An example of each of the three shapes of rows, as a file that works. */
export const examples = {
  training: {
    name: 'my-rows.json',
    text: `[
  {
    "source": "our cluster, May", "model": "llama-3.1-8b", "hardware": "DGX H100", "gpus": 8,
    "dp": 1, "tp": 8, "pp": 1, "global_batch": 8, "micro_batch": 1, "seq": 4096,
    "recompute": "none", "precision": "bf16",
    "metric": "tokens/s per GPU", "value": 6000, "unit": "tok/s/GPU"
  }
]`,
  },
  serving: {
    name: 'my-serving.csv',
    text: `model_path,system,backend,precision,isl,osl,batch_size,tp_size,silicon_ttft_ms,silicon_tpot_ms
Qwen/Qwen3-32B,h100_sxm,vllm,fp8,1024,256,8,1,170,17`,
  },
  inference: {
    name: 'my-batches.json',
    text: `[
  {
    "source": "our bench", "kind": "static-batch", "model": "llama-3.1-70b", "hardware": "DGX A100", "gpus": 4,
    "parallelism": "TP4", "precision": "bf16", "batch_or_concurrency": 1, "isl": 2048, "osl": 1,
    "metric": "first_token_latency", "value": 377, "unit": "ms"
  }
]`,
  },
} as const

const block = ({ name, text }: (typeof examples)[keyof typeof examples]) =>
  ['```', name.endsWith('.csv') ? 'csv' : 'json', `\n${text}\n`, '```'].join('')

/** The section of the page that says how rows of one's own are written. */
export const ownRows = `## Rows of your own

A clone of the repository and a file are all that it takes: \`npm run accuracy -- --rows my-rows.json\`. The file is a JSON list, an object
with a list of \`rows\`, or a CSV whose heading has the same names; its fields tell which of three shapes it has. What a row leaves open
that a prediction needs is listed with it, and the row is not predicted. A step of training:

${block(examples.training)}

\`source\`, \`model\`, \`hardware\`, \`metric\`, \`value\` and \`unit\` have to be there; \`vp\`, \`cp\`, \`ep\`, \`sp\` and \`zero\` are unused unless given.
\`model\` is the name of a preset, or a GPT by its shape, such as \`GPT (h=4096, L=32, a=32, V=51200)\`. \`hardware\` is A100, H100, H200, H800,
B200, B300, GB200 or L40S, alone or with words such as \`DGX\`, \`SXM\` and \`80GB\`; with others, as in \`H100 PCIe\`, it is another device, and the
row is not predicted. \`recompute\` is \`none\`, \`full\`, \`selective\` or \`selective (per op)\`, and \`precision\` names \`bf16\`, \`fp16\`, \`fp8\` or
\`mxfp8\`. The metric is a \`time\` in \`s\` or \`ms\`, a throughput in \`tok/s\`, \`samples/s\` or \`TFLOP/s\`, of all ranks or with \`/GPU\` of each, \`MFU\`
or \`HFU\` in \`%\`, or peak \`memory\` in \`GB\`, \`GiB\` or \`MiB\`. Rows of one \`source\` are a table. The case of letters does not matter. A value that
is not understood is listed with those that would be, and a column that is not read is told of in a warning.

An engine under load, where \`batch_size\` is the number of clients and \`backend\` is vllm, sglang or trtllm:

${block(examples.serving)}

A batch that runs by itself (\`kind\` is \`static-batch\`), or with another \`kind\`, such as \`vllm serving\`, an engine with \`concurrency 8\` or
\`2 req/s\` as \`batch_or_concurrency\`:

${block(examples.inference)}
`
