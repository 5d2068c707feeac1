// runtime/config/tls-files: certificates and keys that the configuration names, read from their files and looked at.
// Never repeats what stands in a file.

import { createPrivateKey, X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createSecureContext } from 'node:tls'
import { MillraceError } from '../errors.ts'

/** Paths, or what stands in the files as PEM. */
export interface TlsFiles {
  readonly ca?: string | undefined
  readonly cert?: string | undefined
  readonly key?: string | undefined
}

export interface TlsFault {
  readonly file: keyof TlsFiles
  /** Predicate of a sentence about the setting. */
  readonly text: string
}

/**
 * What stands in the files. They are read at every start, so that a renewed certificate counts from then on.
 * @throws {MillraceError} CONFIG_INVALID when a file is missing, empty or holds something else
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

/** What stands in the files, and what is wrong with them. */
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

/** Node takes text without a certificate as an authority that has signed nothing, and says nothing. */
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
