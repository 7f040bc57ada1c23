import { describe, expect, test } from 'vitest';
import { joined } from '../../bin/teach/reading.ts';
import { nameOf } from '../../bin/teach/screen/keyboard.ts';
import { choiceOf, promptRows, turned } from '../../bin/teach/screen/show.ts';

describe('a key that was pressed', () => {
  test.each([
    ['a', { name: 'a' }, 'a'],
    ['A', { name: 'a', shift: true }, 'A'],
    ['é', { name: undefined }, 'é'],
    [' ', { name: 'space' }, 'space'],
    ['\r', { name: 'return' }, 'enter'],
    [undefined, { name: 'down' }, 'down'],
    [undefined, { name: 'f5' }, 'f5'],
    ['\x18', { name: 'x', ctrl: true }, 'Ctrl-x'],
    ['x', { name: 'x', meta: true }, 'Alt-x'],
    ['\x1b', { name: 'escape', meta: true }, 'escape'],
    ['\x7f', { name: 'backspace' }, 'backspace'],
  ])('%j with %j is called %s', (text, key, name) => {
    expect(nameOf(text, key)).toBe(name);
  });
});

describe('a choice', () => {
  const footer = ['space', '1', '2', '3', 'x', 'q'].map((key) => ({ key, does: '' }));
  test.each([
    ['x', 'x'],
    ['X', 'x'],
    ['enter', 'space'],
    ['escape', 'q'],
    ['&', '1'],
    ['é', '2'],
    ['"', '3'],
    ['Ctrl-x', undefined],
    ['f5', undefined],
    ['z', undefined],
  ])('by the key %s is %s', (typed, key) => {
    expect(choiceOf(footer, typed)?.key).toBe(key);
  });
});

describe('the page', () => {
  test.each([
    ['space', 0, 1],
    ['space', 2, undefined],
    ['enter', 2, undefined],
    ['down', 1, 2],
    ['down', 2, 2],
    ['pagedown', 2, 2],
    ['up', 0, 0],
    ['pageup', 2, 1],
    ['resize', 1, 1],
    ['x', 1, undefined],
  ])('after the key %s on page %i of 0 to 2 is %s', (key, page, other) => {
    expect(turned(key, page, 3)).toBe(other);
  });
});

describe('below the footer', () => {
  const size = { rows: 24, columns: 40 };
  test('a short note stands in the place of the prompt', () => {
    expect(promptRows('>', 'page 1 of 2  ', 'right', size)).toEqual([' page 1 of 2  right ']);
  });
  test('a long one is whole, in rows above it, none wider than the terminal', () => {
    const note = "not that; one way to look: kubectl get nodes -o jsonpath='{.items[0].metadata.name}'";
    const rows = promptRows('>', 'page 1 of 2  ', note, size);
    expect(rows.at(-1)).toBe(' page 1 of 2  > ');
    expect(
      rows
        .slice(0, -1)
        .map((row) => row.trim())
        .join(' '),
    ).toBe(note);
    expect(rows.every((row) => row.length < size.columns)).toBe(true);
  });
});

test('lines of a paragraph and of an item are joined; headings, code, tables and indented lines stay', () => {
  const text = `# Title
One line
goes on
here.

- an item
  goes on
- another

\`\`\`sh
first
second

third
\`\`\`

| a | b |
| - | - |

  --flag
    its reason`;
  expect(joined(text)).toEqual([
    '# Title',
    'One line goes on here.',
    '',
    '- an item goes on',
    '- another',
    '',
    '```sh',
    'first',
    'second',
    '',
    'third',
    '```',
    '',
    '| a | b |',
    '| - | - |',
    '',
    '  --flag',
    '    its reason',
  ]);
});
