import { expect, test } from 'vitest'
import { ByteBudget } from '../../../ts/objects/byte-budget.ts'

test('whoever wants more than is left waits, in the order of asking, and nobody overtakes', async () => {
  const budget = new ByteBudget(10)
  const order: string[] = []
  const take = (name: string, bytes: number): Promise<() => void> =>
    budget.take(bytes).then((release) => {
      order.push(name)
      return release
    })

  const first = await take('first', 6)
  const second = take('second', 6)
  const third = take('third', 4)
  await Promise.resolve()
  expect(order).toEqual(['first'])
  first()
  const [releaseSecond, releaseThird] = await Promise.all([second, third])

  expect(order).toEqual(['first', 'second', 'third'])
  releaseSecond()
  releaseThird()
  await take('all', 10)
  expect(order).toHaveLength(4)
})

test('more than there is takes all there is', async () => {
  const budget = new ByteBudget(10)

  const release = await budget.take(11)
  let isLate = false
  const late = budget.take(1).then(() => (isLate = true))
  await Promise.resolve()
  expect(isLate).toBe(false)
  release()

  expect(await late).toBe(true)
})
