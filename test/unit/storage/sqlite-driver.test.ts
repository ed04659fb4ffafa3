import { expect, test } from 'vitest'
import { checkSqliteDriver, installedSqliteDriver } from '../../../ts/storage/sqlite-driver.ts'

const refused: unknown = expect.objectContaining({ code: 'NATIVE_UNAVAILABLE', details: { found: '13.0.0' } })

test('better-sqlite3 13 is refused below Node-API 10, where it would crash the process', () => {
  expect(() => checkSqliteDriver({ version: '13.0.0', nodeApi: 9 })).toThrow(refused)
  expect(() => checkSqliteDriver({ version: '13.0.0', nodeApi: 10 })).not.toThrow()
})

test('better-sqlite3 12 is taken on any Node', () => {
  expect(() => checkSqliteDriver({ version: '12.99.99', nodeApi: 9 })).not.toThrow()
  expect(() => checkSqliteDriver({ version: '12.99.99', nodeApi: 10 })).not.toThrow()
})

test('the driver of this installation is one of the two lines that the package allows', () => {
  const driver = installedSqliteDriver()

  expect(driver.version).toMatch(/^1[23]\.\d+\.\d+$/)
  expect(driver.nodeApi).toBe(Number(process.versions['napi']))
  expect(() => checkSqliteDriver(driver)).not.toThrow()
})
