import ts from 'typescript';
import { describe, expect, it } from 'vitest';

const SOURCES = import.meta.glob<string>('./**/*.{ts,tsx}', {
  query: '?raw',
  import: 'default',
  eager: true,
});
const LINES_MAX = 500;
/** Only here the agent is asked over HTTP: in the words of its own description. */
const DOOR = './client.ts';

/** What the compiler allows and the house does not. */
function offences(path: string, text: string): string[] {
  const found: string[] = [];
  const visit = (node: ts.Node): void => {
    if (node.kind === ts.SyntaxKind.AnyKeyword) found.push('any');
    if (ts.isAsExpression(node) || ts.isTypeAssertionExpression(node)) found.push('as');
    if (ts.isNonNullExpression(node) && !path.includes('.test.')) found.push('!');
    if (ts.isCallExpression(node) && node.expression.getText() === 'fetch' && path !== DOOR)
      found.push('fetch');
    if (ts.isIdentifier(node) && /innerHTML|insertAdjacentHTML/i.test(node.text))
      found.push(node.text);
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true));
  if (text.split('\n').length > LINES_MAX) found.push(`more than ${LINES_MAX} lines`);
  return found;
}

describe('sources', () => {
  it.each([
    ['let x: any;', 'any'],
    ['const y = x as string;', 'as'],
    ['const z = x!;', '!'],
    ['const q = fetch("/api/v1/snapshot");', 'fetch'],
    ['const p = <p dangerouslySetInnerHTML={h} />;', 'dangerouslySetInnerHTML'],
  ])('the rule sees %s', (text, found) => expect(offences('./a.tsx', text)).toEqual([found]));

  it('are found', () => expect(Object.keys(SOURCES).length).toBeGreaterThan(20));

  it.each(Object.entries(SOURCES))('%s keeps the house rules', (path, text) =>
    expect(offences(path, text)).toEqual([]),
  );
});
