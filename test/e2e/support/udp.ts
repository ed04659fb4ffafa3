import { createSocket, type Socket } from 'node:dgram'

/** Holds a UDP port of loopback; `0` takes any free one. */
export function holdPort(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = createSocket('udp4')
    socket.once('error', reject)
    socket.bind(port, '127.0.0.1', () => resolve(socket))
  })
}

/** Rejects when something holds the port. */
export async function expectPortFree(port: number): Promise<void> {
  const socket = await holdPort(port)
  await new Promise<void>((resolve) => socket.close(() => resolve()))
}
