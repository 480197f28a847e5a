import { describe, expect, it } from 'vitest';

import {
  age,
  amount,
  count,
  difference,
  distance,
  exact,
  hours,
  feeTier,
  instant,
  money,
  named,
  percent,
  plain,
  price,
  quantity,
  ratio,
  scientific,
  shareOf,
  sharePercent,
  short,
  signedMoney,
  signOf,
  spreadBp,
  timeOfDay,
  UNKNOWN,
} from './format';

describe('a long number', () => {
  it.each([
    ['18446744073709551615', '1.844e19'],
    ['12345678', '1.234e7'],
    ['1234567', '1,234,567'],
    ['0', '0'],
    ['1.5', '1.5'],
    [null, UNKNOWN],
  ])('%s reads %s', (text, read) => expect(scientific(text)).toBe(read));
});

describe('money', () => {
  it.each([
    ['0', '0.00'],
    ['12', '12.00'],
    ['1234567.899', '1,234,567.89'],
    ['-1234.5', '\u22121,234.50'],
    ['0.10', '0.10'],
    ['0.0048123', '0.0048'],
    ['-0.000001239', '\u22120.0000012'],
    ['-0.00', '0.00'],
    ['007.5', '7.50'],
    ['90071992547409931234.56', '90,071,992,547,409,931,234.56'],
  ])('of %s reads %s', (text, shown) => expect(money(text)).toBe(shown));

  it.each([null, undefined, '', 'NaN', '1e5', '1,0', '--1', '.5', 'Infinity', '1'.repeat(500)])(
    'of %s is unknown and never 0',
    (text) => expect(money(text)).toBe(UNKNOWN),
  );

  it('is cut, not rounded', () => expect(money('0.999')).toBe('0.99'));
  it('with its sign marks gains', () => expect(signedMoney('1')).toBe('+1.00'));
  it('with its sign leaves 0 alone', () => expect(signedMoney('0.000')).toBe('0.00'));
});

describe('other numbers', () => {
  it('price keeps five digits of small prices', () =>
    expect(price('0.000123456789')).toBe('0.00012345'));
  it('quantity drops zeros at the end', () => expect(quantity('1.2000')).toBe('1.2'));
  it('amount has four digits', () => expect(amount('24.96384096')).toBe('24.9638'));
  it('exact cuts nothing', () =>
    expect(exact('1234.123456789012345678')).toBe('1,234.123456789012345678'));
  it('count groups digits', () => expect(count(-197312)).toBe('\u2212197,312'));
  it('count of null is unknown', () => expect(count(null)).toBe(UNKNOWN));
  it('count of a fraction is unknown', () => expect(count(1.5)).toBe(UNKNOWN));
  it('share reads as per cent', () => expect(percent('0.9312')).toBe('93.1 %'));
  it('whole share reads as per cent', () => expect(percent('1')).toBe('100.0 %'));
  it('small share keeps its first digits', () => expect(percent('0.0004')).toBe('0.04 %'));
  it.each([
    [500, '0.05 %'],
    [3000, '0.3 %'],
    [10000, '1 %'],
    [100, '0.01 %'],
    [0, '0 %'],
  ])('fee tier of %s pips', (pips, shown) => expect(feeTier(pips)).toBe(shown));
});

describe('difference', () => {
  it.each([
    ['3', '1.25', '1.75'],
    ['1', '1.000000000000000001', '-0.000000000000000001'],
    ['-1.5', '-1.5', '0.0'],
    ['0.10', '0.05', '0.05'],
  ])('%s - %s is %s', (a, b, c) => expect(difference(a, b)).toBe(c));
  it('with an unknown side is unknown', () => expect(difference('1', null)).toBeNull());
});

describe('sign', () => {
  it.each([
    ['-0.01', -1],
    ['0.000', 0],
    ['-0', 0],
    ['5', 1],
    [null, null],
  ])('of %s is %s', (text, sign) => expect(signOf(text)).toBe(sign));
});

describe('ratios', () => {
  it('spread is in basis points of the middle', () =>
    expect(spreadBp('99.5', '100.5')).toBe('100.00 bp'));
  it('distance has its sign', () => expect(distance('100', '97')).toBe('\u22123.0 %'));
  it('distance from nothing is unknown', () => expect(distance(null, '97')).toBe(UNKNOWN));
});

describe('time', () => {
  it.each([
    [40, '<0.1 s'],
    [400, '0.4 s'],
    [9_999, '9.9 s'],
    [84_000, '84 s'],
    [724_000, '12 m 04 s'],
    [11_100_000, '3 h 05 m'],
    [187_200_000, '2 d 4 h'],
    [-5, '<0.1 s'],
  ])('age of %s ms reads %s', (ms, shown) => expect(age(ms)).toBe(shown));
  it('age of null is unknown', () => expect(age(null)).toBe(UNKNOWN));
  it('instants are UTC', () => expect(instant(1_700_000_000_000)).toBe('2023-11-14 22:13:20 UTC'));
  it('impossible instants are unknown', () => expect(instant(1e300)).toBe(UNKNOWN));
  it('time of day is UTC', () => expect(timeOfDay(1_700_000_000_000)).toBe('22:13:20'));
});

describe('ids', () => {
  it('keep the ends of long hex', () =>
    expect(short('wallet:1:0x70997970c51812dc3a010c7d01b50e0d17dc79c8')).toBe(
      'wallet:1:0x7099\u202679c8',
    ));
  it('of orders are long ones too', () =>
    expect(short('order tk1592041234567890abcdef01234567 Filled')).toBe(
      'order tk1592\u20264567 Filled',
    ));
  it('leave short ones alone', () => expect(short('0x1234')).toBe('0x1234'));
});

describe('words of the API', () => {
  const names = { venue_fees: 'Exchange fees' };
  it.each([
    ['venue_fees', 'Exchange fees'],
    ['other_fees', 'other fees'],
    ['constructor', 'constructor'],
  ])('%s is called %s', (word, said) => expect(named(names, word)).toBe(said));
});

describe('share of a limit', () => {
  it.each([
    ['50', '200', 0.25],
    ['-1', '200', 0],
    ['0', '0', 0],
    ['1', '0', Infinity],
    [null, '200', null],
    ['1', 'x', null],
  ])('%s of %s is %s', (used, limit, share) => expect(shareOf(used, limit)).toBe(share));
  it.each([
    [0.7999, '79.9 %'],
    [0, '0.0 %'],
    [1.5, '150.0 %'],
    [Infinity, '> 999 %'],
    [null, 'unknown'],
  ])('%s reads %s', (share, text) => expect(sharePercent(share)).toBe(text));
  it.each([
    [1, 3, '33.3 %'],
    [0, 0, 'unknown'],
    [null, 3, 'unknown'],
  ])('%s of %s reads %s', (part, whole, text) => expect(ratio(part, whole)).toBe(text));
});

describe('computed numbers', () => {
  it.each([
    [2681.123, 1, '2,681.1'],
    [-0.5, 2, '\u22120.50'],
    [Infinity, 2, 'unknown'],
    [undefined, 2, 'unknown'],
    [1e30, 0, 'unknown'],
  ])('%s with %s digits reads %s', (value, decimals, text) =>
    expect(plain(value, decimals)).toBe(text),
  );
  it.each([
    ['14.5', '14 h 30 m'],
    ['-3', '<0.1 s'],
    [null, 'unknown'],
  ])('%s hours read %s', (text, said) => expect(hours(text)).toBe(said));
});
