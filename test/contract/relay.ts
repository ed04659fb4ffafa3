import { createSocket, type Socket } from 'node:dgram'
import type { Address } from '../../ts/net/address.ts'

const HOST = '127.0.0.1'

/** Carries packets between one client and a server on loopback, as a NAT does: it may give the client another port. */
export class Relay {
  readonly #front: Socket
  readonly #server: Address
  #back: Socket
  #clientPort = 0

  private constructor(server: Address, front: Socket, back: Socket) {
    this.#server = server
    this.#front = front
    this.#back = back
    front.on('message', (packet, { port }) => {
      this.#clientPort = port
      this.#back.send(packet, this.#server.port, HOST)
    })
    this.#carryBack()
  }

  static async start(server: Address): Promise<Relay> {
    return new Relay(server, await bound(), await bound())
  }

  /** Where the client sends to. */
  get address(): Address {
    return { host: HOST, port: this.#front.address().port }
  }

  /** Where the server sees the client. */
  get seenAt(): Address {
    return { host: HOST, port: this.#back.address().port }
  }

  async rebind(): Promise<void> {
    const before = this.#back
    this.#back = await bound()
    this.#carryBack()
    before.close()
  }

  close(): void {
    this.#front.close()
    this.#back.close()
  }

  #carryBack(): void {
    this.#back.on('message', (packet) => this.#front.send(packet, this.#clientPort, HOST))
  }
}

function bound(): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = createSocket('udp4')
    socket.once('error', reject)
    socket.bind(0, HOST, () => resolve(socket))
  })
}
