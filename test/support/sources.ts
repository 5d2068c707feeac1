// test/support/sources: every TypeScript file of the project, parsed.

import { readdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import ts from 'typescript'
import { projectRoot } from './root.ts'

export interface Source {
  /** From the project's root, such as `kafka/client/admin.ts`. */
  readonly path: string
  readonly text: string
  readonly tree: ts.SourceFile
  /** Relative imports and exports-from as paths from the root, packages by their names. */
  readonly imports: readonly string[]
}

/** All files in the root's folders, ignored and hidden ones excepted. */
export function readSources(): Source[] {
  return readdirSync(projectRoot, { withFileTypes: true })
    .filter(entry => entry.isDirectory() && !/^\.|^(node_modules|dist)$/.test(entry.name))
    .flatMap(({ name }) =>
      readdirSync(join(projectRoot, name), { recursive: true, encoding: 'utf8' }).map(file => join(name, file)),
    )
    .filter(path => path.endsWith('.ts'))
    .map(readSource)
}

function readSource(path: string): Source {
  const text = readFileSync(join(projectRoot, path), 'utf8')
  const tree = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true)
  const imports = importsOf(tree).map(name => (name.startsWith('.') ? join(path, '..', name) : name))
  return { path, text, tree, imports }
}

function importsOf(tree: ts.SourceFile): string[] {
  return descendants(tree).flatMap(node => {
    const isImport = ts.isImportDeclaration(node) || ts.isExportDeclaration(node)
    const isDynamic = ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword
    const name = isImport ? node.moduleSpecifier : isDynamic ? node.arguments[0] : undefined
    return name && ts.isStringLiteralLike(name) ? [name.text] : []
  })
}

/** The node and everything below it. */
export function descendants(node: ts.Node): ts.Node[] {
  const found: ts.Node[] = [node]
  ts.forEachChild(node, child => void found.push(...descendants(child)))
  return found
}

/** Number of lines from the node's first to its last. */
export function linesOf(node: ts.Node, tree: ts.SourceFile): number {
  const line = (offset: number) => tree.getLineAndCharacterOfPosition(offset).line
  return line(node.getEnd()) - line(node.getStart(tree)) + 1
}

/** `kafka/client/admin.ts:12`. */
export function placeOf(node: ts.Node, { path, tree }: Source): string {
  return `${relative('.', path)}:${tree.getLineAndCharacterOfPosition(node.getStart(tree)).line + 1}`
}
