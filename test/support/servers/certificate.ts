// test/support/servers/certificate: self-signed certificates, made by openssl.

import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** Paths of PEM files. */
export interface Certificate {
  readonly certificate: string
  readonly key: string
  /** Both in one file. */
  readonly keystore: string
}

/**
 * For `CN=name`. The certificate is its own authority. @param address an IP address that it is
 * valid for
 */
export function makeCertificate(directory: string, name: string, address = '127.0.0.1'): Certificate {
  const [key, certificate, keystore] = ['key', 'certificate', 'keystore'].map(kind =>
    join(directory, `${name}-${kind}.pem`),
  ) as [string, string, string]
  const subject = ['-subj', `/CN=${name}`, '-addext', `subjectAltName=IP:${address}`]
  const request = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', ...subject]
  execFileSync('openssl', [...request, '-keyout', key, '-out', certificate], { stdio: 'ignore' })
  writeFileSync(keystore, `${readFileSync(key, 'utf8')}${readFileSync(certificate, 'utf8')}`)
  return { certificate, key, keystore }
}
