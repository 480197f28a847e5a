import { cleanup, fireEvent, screen, within } from '@testing-library/react';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import type { Opportunity } from '../api';
import { section, show, staleness } from '../door';
import { ARBITRAGE, CHAIN, OPPORTUNITY, SNAPSHOT } from '../fixture';

beforeEach(() => window.history.replaceState(null, '', '/?page=arbitrage'));

afterEach(() => {
  cleanup();
  window.history.replaceState(null, '', '/');
});

const steps = (): string[] =>
  within(screen.getByRole('list', { name: 'Funnel' }))
    .getAllByRole('listitem')
    .map((item) => item.textContent ?? '');
const rows = (): HTMLElement[] =>
  within(screen.getByRole('table', { name: 'Opportunities' })).getAllByRole('row').slice(1);

describe('funnel', () => {
  it('says every count and its share in text', () => {
    show(SNAPSHOT);
    const [found, sent, landed, reverted, lost] = steps();
    expect(found).toContain('found120');
    expect(sent).toContain('sent4033.3 % of found');
    expect(landed).toContain('landed2562.5 % of sent');
    expect(lost).toContain('lost7159.1 % of found');
    expect(reverted).toContain('reverted1332.5 % of sent');
  });

  it('of nothing has no shares', () => {
    show({ ...SNAPSHOT, arbitrage: { ...ARBITRAGE, found: 0, sent: 0, landed: 0 } });
    expect(steps()[1]).toContain('sent0unknown of found');
  });
});

describe('promise', () => {
  it('sets realised against expected', () => {
    show(SNAPSHOT);
    const text = section('Did it keep its promise?').textContent;
    for (const part of ['+310.40 USDT', '+288.05 USDT', '\u221222.35 USDT'])
      expect(text).toContain(part);
  });
});

describe('opportunities', () => {
  it('show every cost, where the gross goes, and the fate', () => {
    show(SNAPSHOT);
    const cells = within(rows()[0]!)
      .getAllByRole('cell')
      .map((cell) => cell.textContent);
    expect(cells.slice(1)).toEqual([
      'landed0x9f3a\u2026abcd',
      'cycledemo-arb',
      'WETH/USDT 0.05 % \u2192 WETH/USDT 0.30 %',
      '5,000.1234USDT',
      '10.50',
      'fees 3.00gas 1.25slippage 0.75',
      '10.0 %',
      'expected +7.52realised +5.12',
      'landed at index 0',
    ]);
    expect(
      screen.getByRole('img', {
        name: 'gross 10.50 USDT after fees: fees 3.00, gas 1.25, slippage 0.75, left 8.50',
      }),
    ).toBeTruthy();
  });

  it('between a pool and an exchange name the leg there', () => {
    const venue: Opportunity = { ...OPPORTUNITY, kind: 'venue', hedge: 'sell 1.2 <i>ETH</i>' };
    show({ ...SNAPSHOT, arbitrage: { ...ARBITRAGE, opportunities: [venue] } });
    const cells = within(rows()[0]!)
      .getAllByRole('cell')
      .map((cell) => cell.textContent);
    expect(cells[2]).toBe('venuedemo-arb');
    expect(cells[3]).toContain('WETH/USDT 0.30 %sell 1.2 <i>ETH</i>');
    expect(document.querySelector('i')).toBeNull();
  });

  it('name the chain of their block', () => {
    show(SNAPSHOT);
    expect(within(rows()[0]!).getByTitle('on demo').textContent).toBe('1,233');
  });

  it('with an unknown cost are not split, and say unknown', () => {
    show(SNAPSHOT);
    const cells = within(rows()[2]!)
      .getAllByRole('cell')
      .map((cell) => cell.textContent);
    expect(cells[7]).toBe('unknown');
    expect(cells[8]).toBe('expected unknownrealised \u22120.41');
    expect(cells[6]).toBe('unknownfees 3.00gas unknownslippage 0.75');
  });

  it('keep hostile text as text', () => {
    show(SNAPSHOT);
    expect(screen.getByText('<b>execution reverted</b>')).toBeTruthy();
    expect(document.querySelector('b')).toBeNull();
  });

  it('are filtered by fate, and the address remembers it', () => {
    show(SNAPSHOT);
    expect(rows()).toHaveLength(3);
    fireEvent.click(screen.getByRole('button', { name: 'reverted (1)' }));
    expect(rows()).toHaveLength(1);
    expect(window.location.search).toBe('?page=arbitrage&fate=reverted');
    expect(screen.getByRole('button', { name: 'reverted (1)', pressed: true })).toBeTruthy();
    fireEvent.click(screen.getByRole('button', { name: 'sent (0)' }));
    expect(screen.getByText('None of the newest 3 has this fate')).toBeTruthy();
  });

  it('start with the fate of the address, and with all if it is no fate', () => {
    window.history.replaceState(null, '', '/?page=arbitrage&fate=skipped');
    show(SNAPSHOT);
    expect(rows()).toHaveLength(1);
    cleanup();
    window.history.replaceState(null, '', '/?page=arbitrage&fate=constructor');
    show(SNAPSHOT);
    expect(rows()).toHaveLength(3);
  });

  it('that are none say so', () => {
    show({ ...SNAPSHOT, arbitrage: { ...ARBITRAGE, opportunities: [] } });
    expect(screen.getByText('No opportunities seen yet')).toBeTruthy();
  });

  it('of a stale chain are stale', () => {
    show({ ...SNAPSHOT, chains: [{ ...CHAIN, feed: 'stale' }] });
    for (const name of ['Opportunities', 'From found to landed', 'Did it keep its promise?'])
      expect(staleness(section(name))).toBe('true');
    expect(staleness(rows()[0]!)).toBe('true');
  });

  it('of a chain nobody follows are stale alone', () => {
    const other = { ...OPPORTUNITY, id: 'other', chain_id: 5 };
    show({ ...SNAPSHOT, arbitrage: { ...ARBITRAGE, opportunities: [other, OPPORTUNITY] } });
    expect(rows().map(staleness)).toEqual(['true', 'false']);
  });
});
