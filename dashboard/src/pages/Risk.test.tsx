import { cleanup, screen, within } from '@testing-library/react';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import type { Limit } from '../api';
import { section, show, staleness } from '../door';
import { CHAIN, SNAPSHOT } from '../fixture';

beforeEach(() => window.history.replaceState(null, '', '/?page=risk'));

afterEach(() => {
  cleanup();
  window.history.replaceState(null, '', '/');
});

const rows = (table: string): HTMLElement[] =>
  within(screen.getByRole('table', { name: table })).getAllByRole('row').slice(1);
const limit = (used: string | null): Limit => ({ name: 'x', used, limit: '100', unit: 'USDT' });
const answer = (): string | null => screen.getByRole('note', { name: 'Answer' }).textContent;

describe('limits', () => {
  it('come loud first, then unknown, then the rest as told', () => {
    show(SNAPSHOT);
    expect(rows('Limits').map((row) => within(row).getAllByRole('cell')[0]?.textContent)).toEqual([
      'Daily loss',
      'orders per minute',
      'Gross exposure',
      'Net delta',
    ]);
  });

  it.each([
    ['gross_exposure_usd', 'Gross exposure'],
    ['net_delta_usd', 'Net delta'],
    ['venue_exposure_usd', 'Venue exposure'],
    ['daily_loss_usd', 'Daily loss'],
    ['gas_budget_usd_per_day', 'Gas budget per day'],
  ])('%s read %s, with the unit beside the figures', (name, said) => {
    show({ ...SNAPSHOT, limits: [{ name, used: '4.02', limit: '2000', unit: 'USDT' }] });
    expect(within(rows('Limits')[0]!).getAllByRole('cell')[0]?.textContent).toBe(said);
    expect(
      screen.getByRole('img', { name: `${said}: 0.2 % used, 4.02 of 2,000 USDT` }),
    ).toBeTruthy();
  });

  it.each([
    ['79.99', '79.9 %', 'has room', ''],
    ['80', '80.0 %', 'near the limit', 'loud'],
    ['100', '100.0 %', 'near the limit', 'loud'],
    ['130', '130.0 %', 'over the limit', 'loud'],
    ['-5', '0.0 %', 'has room', ''],
    ['0', '0.0 %', 'has room', ''],
    [null, 'unknown', 'use unknown', ''],
  ])('used to %s of 100 read %s, %s', (used, share, word, look) => {
    show({ ...SNAPSHOT, limits: [limit(used)] });
    const [row] = rows('Limits');
    expect(row?.className).toBe(look);
    expect(row?.textContent).toContain(share);
    expect(row?.textContent).toContain(word);
    expect(row?.textContent).toContain('100 USDT');
  });

  it('that are unknown have no bar, and say so to those who cannot see it', () => {
    show({ ...SNAPSHOT, limits: [limit(null)] });
    const bar = screen.getByRole('img', { name: 'x: unknown used, unknown of 100 USDT' });
    expect(bar.querySelectorAll('.fill')).toHaveLength(0);
    expect(answer()).toContain('1 of 1 limits with unknown use');
  });

  it('that are none say so', () => {
    show({ ...SNAPSHOT, limits: [], fuel: [] });
    expect(screen.getByText('No limits are configured')).toBeTruthy();
    expect(screen.getByText('No signers')).toBeTruthy();
    expect(answer()).toBe('Nothing is near its limit');
  });

  it('call for an eye from every other page', () => {
    window.history.replaceState(null, '', '/');
    show(SNAPSHOT);
    expect(screen.getByRole('tab', { name: 'Risk (2)' })).toBeTruthy();
    cleanup();
    show({ ...SNAPSHOT, limits: [limit('1')], fuel: [] });
    expect(screen.getByRole('tab', { name: 'Risk' })).toBeTruthy();
  });
});

describe('exposure', () => {
  it('is told by asset, venue and chain, with its unit', () => {
    show(SNAPSHOT);
    expect(rows('Exposure by asset')[0]?.textContent).toBe('ETH34,852.11+268.10');
    expect(rows('Exposure by venue')[0]?.textContent).toBe('hedge9,120.00unknown');
    expect(rows('Exposure by chain')[0]?.textContent).toBe('demounknown+34,852.11');
    expect(section('Exposure by asset').textContent).toContain('Net delta USDT');
  });

  it('that is empty says so', () => {
    show({ ...SNAPSHOT, exposures: [] });
    expect(screen.getByText('No exposure by venue')).toBeTruthy();
  });

  it('in a venue does not turn stale with a chain', () => {
    show({ ...SNAPSHOT, chains: [{ ...CHAIN, feed: 'stale' }] });
    expect(staleness(section('Exposure by venue'))).toBe('false');
    for (const name of ['Exposure by asset', 'Exposure by chain', 'Limits', 'Fuel'])
      expect(staleness(section(name))).toBe('true');
  });
});

describe('fuel', () => {
  it('shows runway and reserves, and is loud below the minimum', () => {
    show(SNAPSHOT);
    const [enough, short] = rows('Fuel');
    expect(enough?.textContent).toContain('99.10.050.0212 d 22 henough');
    expect(enough?.className).toBe('');
    expect(short?.textContent).toContain('unknownbelow minimum');
    expect(short?.className).toBe('loud');
    expect(answer()).toContain('1 of 2 signers short of fuel');
  });

  it.each([
    ['0.01', '310', 'below exit reserve'],
    ['1', '11.9', 'less than 12 h left'],
    ['1', '12', 'enough'],
    [null, null, 'unknown'],
  ])('of %s with %s h reads %s', (native, runway_h, word) => {
    const fuel = { ...SNAPSHOT.fuel[0]!, native, runway_h };
    show({ ...SNAPSHOT, fuel: [fuel] });
    expect(within(rows('Fuel')[0]!).getAllByRole('cell').at(-1)?.textContent).toBe(word);
  });
});
