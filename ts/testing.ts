export { localNetwork, type LocalNetwork, type LocalNetworkOptions } from './node/local-network.ts'
