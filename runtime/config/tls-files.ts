// runtime/config/tls-files: reads and checks the files of certificates and keys that the
// configuration names. Messages never contain the content of a file.

import { createPrivateKey, X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createSecureContext } from 'node:tls'
import { MillraceError } from '../errors.ts'

/** Paths of the files, or their contents in PEM. */
export interface TlsFiles {
  readonly ca?: string | undefined
  readonly cert?: string | undefined
  readonly key?: string | undefined
}

export interface TlsFault {
  readonly file: keyof TlsFiles
  /** The predicate of a sentence whose subject is the setting. */
  readonly text: string
}

/**
 * The contents of the files. They are read at every start, so a renewed certificate is used after a
 * restart.
 * @throws {MillraceError} CONFIG_INVALID when a file is missing, empty or not of the expected kind
 */
export function readTlsFiles(paths: TlsFiles, section: string): TlsFiles {
  const { contents, faults } = inspectTlsFiles(paths)
  const [fault] = faults
  if (fault === undefined) return contents
  throw new MillraceError('CONFIG_INVALID', {
    what: `${section}.${fault.file}: ${fault.text}`,
    next: 'correct the configuration or the file, and start again; millrace config check tries it',
  })
}

/** The contents of the files, and their faults. */
export function inspectTlsFiles(paths: TlsFiles): {
  readonly contents: TlsFiles
  readonly faults: readonly TlsFault[]
} {
  const contents: { -readonly [file in keyof TlsFiles]: TlsFiles[file] } = {}
  const faults: TlsFault[] = []
  for (const file of ['ca', 'cert', 'key'] as const) {
    const path = paths[file]
    if (path === undefined) continue
    try {
      contents[file] = readFileSync(path, 'utf8')
    } catch (error) {
      faults.push({ file, text: `the file ${path} cannot be read (${(error as NodeJS.ErrnoException).code})` })
      continue
    }
    const fault = file === 'key' ? keyFault(contents[file]!) : certificateFault(contents[file]!)
    if (fault !== undefined) faults.push({ file, text: `the file ${path} ${fault}` })
  }
  if (faults.length === 0 && contents.cert !== undefined) faults.push(...pairFault(contents, paths))
  return { contents, faults }
}

/** Node accepts a text without a certificate as a CA that has signed nothing, without an error. */

function certificateFault(pem: string): string | undefined {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g)
  if (pem.trim() === '') return 'is empty'
  if (blocks === null) return 'holds no certificate in PEM (-----BEGIN CERTIFICATE-----)'
  const broken = blocks.findIndex(block => !isCertificate(block))
  return broken < 0 ? undefined : `holds a certificate that cannot be read, the ${broken + 1}. of ${blocks.length}`
}

function isCertificate(block: string): boolean {
  try {
    new X509Certificate(block)
    return true
  } catch {
    return false
  }
}

function keyFault(pem: string): string | undefined {
  if (pem.trim() === '') return 'is empty'
  if (pem.includes('ENCRYPTED'))
    return 'is encrypted; write the key without a passphrase: openssl pkey -in FILE -out NEW'
  try {
    createPrivateKey(pem)
    return undefined
  } catch {
    return 'holds no private key in PEM'
  }
}

function pairFault({ cert, key }: TlsFiles, paths: TlsFiles): TlsFault[] {
  try {
    createSecureContext({ cert, key })
    return []
  } catch {
    return [{ file: 'key', text: `the key in ${paths.key} is not that of the certificate in ${paths.cert}` }]
  }
}
