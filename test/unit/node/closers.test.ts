import { describe, expect, test } from 'vitest'
import { Closers } from '../../../ts/node/closers.ts'

describe('closers', () => {
  test('run in reverse order, each after the one before has ended', async () => {
    const seen: string[] = []
    const closers = new Closers()
    closers.add(() => void seen.push('first'))
    closers.add(async () => {
      await Promise.resolve()
      seen.push('second')
    })

    await closers.run()

    expect(seen).toEqual(['second', 'first'])
  })

  test('a failure stops none of the others and is thrown at the end', async () => {
    const seen: string[] = []
    const closers = new Closers()
    closers.add(() => void seen.push('first'))
    closers.add(() => Promise.reject(new Error('broken')))
    closers.add(() => void seen.push('third'))

    await expect(closers.run()).rejects.toThrow('broken')
    expect(seen).toEqual(['third', 'first'])
  })

  test('run once', async () => {
    let count = 0
    const closers = new Closers()
    closers.add(() => void (count += 1))

    await closers.run()
    await closers.run()

    expect(count).toBe(1)
  })
})
