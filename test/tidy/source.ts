/** A TypeScript source without its comments and texts, and what it imports: enough to check rules on. */

export interface Source {
  /** The code, comments left out and the content of texts, templates and patterns too. */
  readonly code: string;
  /** What it imports, statically or not, as written. */
  readonly imports: readonly string[];
}

const TEXT = /'(?:\\[^]|[^'\\\n])*'|"(?:\\[^]|[^"\\\n])*"/y;
/** From a backtick, or from the brace that ends `${…}`, to the next of either. */
const TEMPLATE = /[`}](?:\\[^]|\$(?!\{)|[^`\\$])*(?:`|\$\{)/y;
const COMMENT = /\/\/[^\n]*|\/\*[^]*?\*\//y;
const PATTERN = /\/(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\n[])+\/[a-z]*/y;
/** Where a slash begins a pattern and does not divide. */
const BEFORE_PATTERN = /(?:^|[(,=:[!&|?{};+>]|\b(?:return|typeof|case))\s*$/;
const BEFORE_IMPORTED = /\b(?:from|import|import\s*\()\s*$/;

export function scan(source: string): Source {
  const imports: string[] = [];
  /** How many braces are open inside each `${…}`. */
  const nesting: number[] = [];
  let code = '';
  let at = 0;
  const match = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = at;
    return pattern.exec(source)?.[0];
  };
  while (at < source.length) {
    const character = source[at]!;
    const text = match(TEXT);
    const comment = match(COMMENT);
    const isTemplate = character === '`' || (character === '}' && nesting.at(-1) === 0);
    const template = isTemplate ? match(TEMPLATE) : undefined;
    const pattern = BEFORE_PATTERN.test(code.slice(-40)) ? match(PATTERN) : undefined;
    if (text !== undefined) {
      if (BEFORE_IMPORTED.test(code.slice(-40))) imports.push(text.slice(1, -1));
      code += "''";
    } else if (template !== undefined) {
      if (character === '}') nesting.pop();
      if (template.endsWith('${')) nesting.push(0);
      code += template.endsWith('${') ? '(' : '``';
    } else if (comment === undefined && pattern === undefined) {
      if (nesting.length > 0 && character === '{') nesting[nesting.length - 1]!++;
      if (nesting.length > 0 && character === '}') nesting[nesting.length - 1]!--;
      code += character;
    } else if (comment === undefined) code += '/./';
    at += (text ?? template ?? comment ?? pattern ?? character).length;
  }
  return { code, imports };
}
