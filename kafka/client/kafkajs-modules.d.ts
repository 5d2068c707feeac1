// kafka/client/kafkajs-modules.d: types of the files inside kafkajs that kafkajs-internals imports.
// The package has none for them.

declare module 'kafkajs/src/broker/index.js' {
  const Broker: new (options: object) => import('./kafkajs-internals.ts').Broker
  export default Broker
}

declare module 'kafkajs/src/loggers/index.js' {
  const loggers: {
    LEVELS: { WARN: number }
    createLogger(options: {
      level: number
      logCreator: () => (line: import('./kafkajs-internals.ts').KafkajsLine) => void
    }): object
  }
  export default loggers
}

declare module 'kafkajs/src/network/connectionPool.js' {
  const ConnectionPool: new (
    options: object,
  ) => { readonly pool: readonly import('./kafkajs-internals.ts').KafkajsConnection[] }
  export default ConnectionPool
}

declare module 'kafkajs/src/network/requestQueue/index.js' {
  const RequestQueue: { readonly prototype: import('./kafkajs-internals.ts').ThrottledQueue }
  export default RequestQueue
}

declare module 'kafkajs/src/protocol/error.js' {
  const errors: { createErrorFromCode(code: number): Error }
  export default errors
}

declare module 'kafkajs/src/protocol/requests/metadata/index.js' {
  const metadata: {
    protocol(options: { version: number }): (request: object) => import('./kafkajs-internals.ts').KafkajsRequest
  }
  export default metadata
}
