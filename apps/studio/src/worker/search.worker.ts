import { answerPart, foundOf, questionsOf, spaceOf } from '../search/answer.js'
import { serve } from './serve.js'
import { servingOf } from './serving.js'

serve({
  searchSpace: spaceOf,
  searchQuestion: questionsOf,
  searchPart: answerPart,
  searchFound: foundOf,
  serve: servingOf,
})
