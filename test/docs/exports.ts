/** The exported names of files and the properties of their types, as the TypeScript compiler sees them. */
import { join } from "node:path";
import { API, type Symbol as Sym, SymbolFlags } from "typescript/unstable/async";
import { ROOT } from "../setup.ts";

const CONFIG = join(ROOT, "tsconfig.json");

/** Runs `work` over the project's types; the compiler is a process of its own, which ends with it. */
export async function withExports<T>(work: (code: Code) => Promise<T>): Promise<T> {
  const api = new API({ cwd: ROOT });
  try {
    const project = (await api.updateSnapshot({ openProject: CONFIG })).getProject(CONFIG);
    if (!project) throw new Error(`${CONFIG}: expected a project, found none`);
    return await work(new Code(project));
  } finally {
    await api.close();
  }
}

type Project = NonNullable<ReturnType<Awaited<ReturnType<API["updateSnapshot"]>>["getProject"]>>;

export class Code {
  readonly #project: Project;

  constructor(project: Project) {
    this.#project = project;
  }

  /** The names that a file exports, its own and re-exported ones. */
  async exportsOf(file: string): Promise<Map<string, Sym>> {
    const { program, checker } = this.#project;
    const source = await program.getSourceFile(join(ROOT, file));
    const module = source && (await checker.getSymbolAtLocation(source));
    if (!module) return new Map();
    return new Map((await checker.getExportsOfModule(module)).map((symbol) => [symbol.name, symbol]));
  }

  /** The properties of an exported type, inherited ones included. */
  async propertiesOf(file: string, name: string): Promise<string[]> {
    const { checker } = this.#project;
    const found = (await this.exportsOf(file)).get(name);
    if (!found) throw new Error(`${file}: expected a type ${name}, found none`);
    const type = await checker.getDeclaredTypeOfSymbol(found);
    return (await checker.getPropertiesOfType(type)).map((property) => property.name);
  }

  /** The text of a symbol's docstring, "" without one. */
  documentationOf(symbol: Sym): Promise<string> {
    return symbol.getDocumentationComment(this.#project.checker);
  }

  /** Whether a file re-exports a name from another one. */
  isHandedOn(symbol: Sym): boolean {
    return (symbol.flags & SymbolFlags.Alias) !== 0;
  }
}
