import { describe, expect, test } from 'vitest';
import { fillTemplate, formatBytes } from '../../lib/engine/text.ts';

test.each([
  [0, '0 MB'],
  [999_999, '0 MB'],
  [1_990_000, '1 MB'],
  [999_999_999, '999 MB'],
  [1e9, '1.0 GB'],
  [1.69e9, '1.6 GB'],
  [4.999e9, '4.9 GB'],
  [123.45e9, '123.4 GB'],
])('%d bytes are %s: never more than there are', (bytes, text) => {
  expect(formatBytes(bytes)).toBe(text);
});

describe('a template', () => {
  const missing = (name: string): Error => new Error(`no ${name}`);

  test('gets a value for each name, however it is spaced and however often', () => {
    expect(fillTemplate('{{a}}-{{ b }}-{{a}}', { a: '1', b: '$&' }, missing)).toBe('1-$&-1');
  });

  test('keeps what only looks like a name', () => {
    expect(fillTemplate('{a} {{', { a: '1' }, missing)).toBe('{a} {{');
  });

  test('may have an empty value', () => {
    expect(fillTemplate('[{{a}}]', { a: '' }, missing)).toBe('[]');
  });

  test.each(['{{b}}', '{{toString}}', '{{}}'])('with %s, which nobody gave, is an error', (template) => {
    expect(() => fillTemplate(template, { a: '1' }, missing)).toThrow(/^no /);
  });
});
