// test/unit/kafka-failure: which broker errors are retried, and their messages.

import { errorFromCode, isRetriable } from '../../kafka/client/broker.ts'
import { kafkaError } from '../../kafka/client/errors.ts'
import { assert, suite } from '../support/harness/suite.ts'

const test = suite('kafka failure')

const codeOf = (answer: number) => kafkaError(errorFromCode(answer), 'fetch records').code

test('internal broker errors and unknown codes are retried; other errors that kafkajs calls final are final', () => {
  const [unknownServerError, newLeaderElected, clusterAuthorizationFailed, topicAlreadyExists] = [-1, 108, 31, 36]
  assert.equal([unknownServerError, newLeaderElected].map(codeOf), ['KAFKA_UNREACHABLE', 'KAFKA_UNREACHABLE'])
  assert.equal([clusterAuthorizationFailed, topicAlreadyExists].map(codeOf), ['KAFKA_DENIED', 'KAFKA_REFUSED'])
  // A request for several topics fails with an error that contains theirs.
  assert.ok(isRetriable({ errors: [errorFromCode(unknownServerError)], retriable: false }))
  assert.not.ok(isRetriable({ errors: [errorFromCode(topicAlreadyExists)], retriable: true }))
})

test('an error code without a name is shown by its number', () => {
  assert.match(kafkaError(errorFromCode(108), 'fetch records').message, 'cannot fetch records: Unknown error code 108')
})

test.run()
