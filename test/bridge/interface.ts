import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'

/** What a value of a type looks like, as far as a caller who wants to make one has to know. */
export type Shape =
  | { readonly kind: 'bytes' | 'text' | 'number' | 'flag' | 'function' | 'other' | 'undefined' }
  | { readonly kind: 'literal'; readonly value: string | number | boolean }
  | { readonly kind: 'list'; readonly item: Shape }
  | { readonly kind: 'object'; readonly fields: Readonly<Record<string, Shape>> }
  | { readonly kind: 'any of'; readonly shapes: readonly Shape[] }

export interface Parameter {
  readonly name: string
  readonly shape: Shape
}

export interface Callable {
  readonly name: string
  readonly parameters: readonly Parameter[]
}

/** What can be called on the objects of a type. */
export interface Members {
  readonly name: string
  readonly methods: readonly Callable[]
  readonly getters: readonly string[]
}

/** One public door: what `import * as door` gives, and the types whose objects it hands out or takes. */
export interface Door {
  readonly functions: readonly Callable[]
  readonly classes: readonly { readonly name: string; readonly statics: readonly Callable[] }[]
  readonly members: readonly Members[]
}

const root = fileURLToPath(new URL('../../', import.meta.url))
/** Deep enough for every option of ours. */
const MAX_DEPTH = 4

/** The exports of the addon, as its interface promises them. */
export function addonInterface(): readonly Callable[] {
  const { checker, exportsOf } = load(join(root, 'ts', 'native', 'addon.ts'))
  const addon = exportsOf().find((symbol) => symbol.name === 'Addon')!
  return callablesOf(checker, checker.getDeclaredTypeOfSymbol(addon))
}

/** A door as its users see it: the declarations that are published. */
export function publicDoor(name: string): Door {
  const { checker, exportsOf } = load(join(root, 'dist', `${name}.d.ts`))
  const functions: Callable[] = []
  const classes: Door['classes'][number][] = []
  const members: Members[] = []
  for (const exported of exportsOf()) {
    const symbol = exported.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(exported) : exported
    if (symbol.flags & ts.SymbolFlags.Function) {
      const type = checker.getTypeOfSymbol(symbol)
      functions.push({ name: exported.name, parameters: parametersOf(checker, type) })
    }
    if (symbol.flags & ts.SymbolFlags.Class) {
      const type = checker.getTypeOfSymbol(symbol)
      const statics = callablesOf(checker, type).filter(({ name }) => name !== 'prototype')
      classes.push({ name: exported.name, statics })
    }
    if (symbol.flags & (ts.SymbolFlags.Class | ts.SymbolFlags.Interface)) {
      const type = checker.getDeclaredTypeOfSymbol(symbol)
      const methods = callablesOf(checker, type)
      const getters = type
        .getProperties()
        .filter((property) => property.flags & ts.SymbolFlags.Accessor)
        .map((property) => property.name)
      if (methods.length > 0) members.push({ name: exported.name, methods, getters })
    }
  }
  return { functions, classes, members }
}

function load(file: string): {
  readonly checker: ts.TypeChecker
  readonly exportsOf: () => readonly ts.Symbol[]
} {
  const program = ts.createProgram([file], {
    target: ts.ScriptTarget.ES2023,
    lib: ['lib.es2023.d.ts', 'lib.esnext.disposable.d.ts'],
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
    types: ['node'],
    typeRoots: [join(root, 'node_modules', '@types')],
    strict: true,
    skipLibCheck: true,
    allowImportingTsExtensions: true,
    noEmit: true,
  })
  const checker = program.getTypeChecker()
  const symbol = checker.getSymbolAtLocation(program.getSourceFile(file)!)!
  return { checker, exportsOf: () => checker.getExportsOfModule(symbol) }
}

/** The properties of a type that can be called, without those that a class has from the platform's. */
function callablesOf(checker: ts.TypeChecker, type: ts.Type): Callable[] {
  return type.getProperties().flatMap((property) => {
    const files = property.getDeclarations()?.map((declaration) => declaration.getSourceFile().fileName)
    if (files?.every((file) => file.includes('node_modules'))) return []
    const own = checker.getTypeOfSymbol(property)
    if (own.getCallSignatures().length === 0) return []
    return [{ name: nameOf(property), parameters: parametersOf(checker, own) }]
  })
}

/** The compiler writes a well-known symbol as `__@asyncDispose@123`. */
function nameOf(property: ts.Symbol): string {
  return property.name.replace(/^__@(\w+)@\d+$/, '@@$1')
}

function parametersOf(checker: ts.TypeChecker, type: ts.Type): Parameter[] {
  const [signature] = type.getCallSignatures()
  return (signature?.getParameters() ?? []).map((parameter) => ({
    name: parameter.name,
    shape: shapeOf(checker, checker.getTypeOfSymbol(parameter), 0),
  }))
}

function shapeOf(checker: ts.TypeChecker, type: ts.Type, depth: number): Shape {
  if (type.flags & ts.TypeFlags.Undefined) return { kind: 'undefined' }
  if (type.isStringLiteral() || type.isNumberLiteral()) return { kind: 'literal', value: type.value }
  if (type.flags & ts.TypeFlags.BooleanLike) return { kind: 'flag' }
  if (type.isUnion()) {
    return { kind: 'any of', shapes: type.types.map((each) => shapeOf(checker, each, depth)) }
  }
  if (type.flags & ts.TypeFlags.StringLike || isBrandedText(type)) return { kind: 'text' }
  if (type.flags & ts.TypeFlags.NumberLike) return { kind: 'number' }
  const name = type.getSymbol()?.name ?? ''
  if (name === 'Uint8Array') return { kind: 'bytes' }
  // A caller gives an array for both.
  if (checker.isArrayType(type) || name === 'Iterable') {
    const [item] = checker.getTypeArguments(type as ts.TypeReference)
    return { kind: 'list', item: item === undefined ? { kind: 'other' } : shapeOf(checker, item, depth) }
  }
  if (type.getCallSignatures().length > 0) return { kind: 'function' }
  if (depth >= MAX_DEPTH || isOfPlatform(type)) return { kind: 'other' }
  const fields = type
    .getProperties()
    .map((field) => [nameOf(field), shapeOf(checker, checker.getTypeOfSymbol(field), depth + 1)] as const)
  return fields.length === 0 ? { kind: 'other' } : { kind: 'object', fields: Object.fromEntries(fields) }
}

/** Such as a NodeId, which is text that was checked. */
function isBrandedText(type: ts.Type): boolean {
  return type.isIntersection() && type.types.some((part) => part.flags & ts.TypeFlags.StringLike)
}

/** An AbortSignal, a Blob and other objects that are not made of fields. */
function isOfPlatform(type: ts.Type): boolean {
  const files = type.getSymbol()?.declarations?.map((declaration) => declaration.getSourceFile().fileName)
  return files?.some((file) => file.includes('node_modules')) ?? false
}
