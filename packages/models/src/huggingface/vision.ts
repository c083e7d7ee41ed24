import type { ModelArchitecture } from '../architecture.js'
import type { ConfigFields } from './config-fields.js'

type Extras = NonNullable<ModelArchitecture['extras']>

/** The SigLIP tower of Gemma 3 and the projector into the text model: https://arxiv.org/abs/2303.15343. */
export function gemmaVision(vision: ConfigFields, textHidden: number): Extras {
  const { hidden, intermediate, patches, patchValues } = readTower(vision)
  const layers = vision.size('num_hidden_layers')
  const embedding = patchValues * hidden + hidden + patches * hidden
  const pooling = hidden + towerAttention(hidden) + 2 * hidden + towerFfn(hidden, intermediate)
  const head = vision.flag('vision_use_head', true) ? pooling : 0
  return [
    {
      module: 'vision.tower',
      parameters: embedding + layers * towerLayer(hidden, intermediate) + 2 * hidden + head,
    },
    { module: 'vision.projector', parameters: hidden * textHidden + hidden },
  ]
}

/** The tower of Llama 4, its adapter and the projector into the text model. */
export function llamaVision(vision: ConfigFields, textHidden: number): Extras {
  const { hidden, intermediate, patches, patchValues } = readTower(vision)
  const layers = vision.size('num_hidden_layers')
  const embedding = patchValues * hidden + hidden + (patches + 1) * hidden
  const projected = vision.size('projector_output_dim')
  const adapter = intermediate * vision.size('projector_input_dim') + projected * projected
  return [
    {
      module: 'vision.tower',
      parameters: embedding + 4 * hidden + layers * towerLayer(hidden, intermediate) + adapter,
    },
    { module: 'vision.projector', parameters: vision.size('vision_output_dim') * textHidden },
  ]
}

function readTower(vision: ConfigFields) {
  const patch = vision.size('patch_size')
  const image = vision.size('image_size')
  if (patch > image) {
    vision.contradiction('patch_size', `is ${patch}, but image_size is ${image}`, 'Give a patch within the image.')
  }
  return {
    hidden: vision.size('hidden_size'),
    intermediate: vision.size('intermediate_size'),
    patches: Math.floor(image / patch) ** 2,
    patchValues: vision.size('num_channels', 3) * patch * patch,
  }
}

/** Two layer norms, attention and a plain network, all with biases. */
function towerLayer(hidden: number, intermediate: number): number {
  return 4 * hidden + towerAttention(hidden) + towerFfn(hidden, intermediate)
}

function towerAttention(hidden: number): number {
  return 4 * (hidden * hidden + hidden)
}

function towerFfn(hidden: number, intermediate: number): number {
  return 2 * hidden * intermediate + intermediate + hidden
}
