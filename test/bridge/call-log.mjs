import { ftruncateSync, openSync, readFileSync, writeSync } from 'node:fs'

const LINE_BYTES = 1024

/** Says in a file what is about to be called, so that the parent knows it when this process is gone. */
export class CallLog {
  #file

  constructor(path) {
    this.#file = openSync(path, 'w')
    ftruncateSync(this.#file, LINE_BYTES)
  }

  write(text) {
    writeSync(this.#file, text.slice(0, LINE_BYTES - 1).padEnd(LINE_BYTES - 1) + '\n', 0)
  }

  static read(path) {
    return readFileSync(path, 'utf8').trim()
  }
}
