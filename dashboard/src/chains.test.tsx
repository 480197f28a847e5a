import { cleanup, screen, within } from '@testing-library/react';
import { afterEach, describe, expect, it } from 'vitest';

import { chainName, ledgerName } from './chains';
import { section, show, staleness } from './door';
import { CHAIN, CHAIN_TWO, SNAPSHOT, TWO_CHAINS } from './fixture';

afterEach(() => {
  cleanup();
  window.history.replaceState(null, '', '/');
});

const rows = (table: string): HTMLElement[] =>
  within(screen.getByRole('table', { name: table })).getAllByRole('row').slice(1);
const cells = (table: string, column: number): (string | null)[] =>
  rows(table).map((row) => within(row).getAllByRole('cell')[column]?.textContent ?? null);
const position = (chain: string): HTMLElement =>
  screen.getByRole('listitem', { name: `position WETH/USDT 1 on ${chain}` });

describe('name', () => {
  it('of a chain that is not followed is its id', () => {
    expect(chainName(TWO_CHAINS, 31338)).toBe('demo-two');
    expect(chainName(SNAPSHOT, 31338)).toBe('chain 31338');
  });

  it.each([
    ['wallet:31337:0x7099', 'wallet:demo:0x7099'],
    ['position:31338:8', 'position:demo-two:8'],
    ['owed:31338:8', 'owed:demo-two:8'],
    ['eip155:31338/erc20:0x9fe4', 'demo-two/erc20:0x9fe4'],
    ['eip155:31338/v3lp:0xb7f8:31337', 'demo-two/v3lp:0xb7f8:31337'],
    ['eip155:5/native', 'eip155:5/native'],
    ['wallet:5:0x7099', 'wallet:5:0x7099'],
    ['venue:31337', 'venue:31337'],
    ['venue:hedge/USDT', 'venue:hedge/USDT'],
    ['expense:gas', 'expense:gas'],
    ['unknown', 'unknown'],
  ])('stands for the id in %s', (text, said) => expect(ledgerName(TWO_CHAINS, text)).toBe(said));
});

describe('two chains of the same addresses', () => {
  it('are told apart in pools and positions', () => {
    show(TWO_CHAINS);
    const heads = within(screen.getByRole('table', { name: 'Pools' })).getAllByRole('columnheader');
    expect(heads[0]?.textContent).toBe('Chain');
    expect(cells('Pools', 0)).toEqual(['demo', 'demo-two']);
    expect(position('demo').textContent).toContain('on demo \u00b7 NFT 1 \u00b7 demo-lp');
    expect(position('demo-two').textContent).toContain('on demo-two \u00b7 NFT 1');
  });

  it('are told apart in transactions', () => {
    window.history.replaceState(null, '', '/?tab=transactions');
    show(TWO_CHAINS);
    expect(cells('Transactions', 1)).toEqual(['demo', 'demo-two']);
    expect(within(rows('Transactions')[1]!).getByTitle('chain id 31338')).toBeTruthy();
  });

  it('are told apart in the ledger, whose own words are in the tooltips', () => {
    window.history.replaceState(null, '', '/?tab=ledger');
    show(TWO_CHAINS);
    const postings = screen.getByRole('table', { name: 'postings of gas' });
    expect(postings.textContent).toContain('wallet:demo-two:0x8ad5\u2026e6d8');
    expect(postings.textContent).toContain('expense:gasdemo-two/native');
    expect(within(postings).getAllByTitle('eip155:31338/native')).toHaveLength(2);
  });

  it('are told apart in the reconciliation', () => {
    show(TWO_CHAINS);
    expect(cells('Reconciliation', 0)).toEqual([
      'wallet:demo:0x8ad5\u2026e6d8',
      'wallet:demo-two:0x8ad5\u2026e6d8',
    ]);
    expect(cells('Reconciliation', 1)).toEqual(['demo/native', 'demo-two/native']);
  });

  it.each([
    ['demo', 'demo-two'],
    ['demo-two', 'demo'],
  ])('turn stale one by one: %s alone', (stopped, other) => {
    const chains = [CHAIN, CHAIN_TWO].map((chain) =>
      chain.name === stopped ? { ...chain, head_age_ms: 60_000 } : chain,
    );
    show({ ...TWO_CHAINS, chains });
    const places = (name: string): HTMLElement[] => [
      screen.getByRole('group', { name: `Chain ${name}` }),
      position(name),
      ...rows('Pools').filter((row) => within(row).queryByText(name) !== null),
    ];
    for (const [name, is_stale] of [
      [stopped, true],
      [other, false],
    ] satisfies [string, boolean][]) {
      expect(places(name)).toHaveLength(3);
      for (const place of places(name)) {
        expect(staleness(place)).toBe(String(is_stale));
        expect(within(place).queryByText('stale') !== null).toBe(is_stale);
      }
    }
    for (const name of ['Pools', 'Liquidity positions'])
      expect(staleness(section(name))).toBe('false');
  });
});
