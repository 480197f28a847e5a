import { cleanup, fireEvent, screen, waitFor, within } from '@testing-library/react';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import type { PoolDetail, Snapshot } from '../api';
import { asked, section, show, staleness } from '../door';
import { POSITION, SNAPSHOT } from '../fixture';
import { POOL_DETAIL, POOL_PATH } from '../fixture.pool';

const LINK = 'WETH/USDT 0.05 %, uniswap v3 on demo';

let answer: () => Response;
const agent = vi.fn<(request: Request) => Promise<Response>>();

const json = (body: unknown, status = 200): Response =>
  new Response(JSON.stringify(body), { status });

beforeEach(() => {
  answer = () => json(POOL_DETAIL);
  agent.mockReset();
  agent.mockImplementation(() => Promise.resolve(answer()));
  vi.stubGlobal('fetch', agent);
});

afterEach(() => {
  cleanup();
  vi.useRealTimers();
  vi.unstubAllGlobals();
  window.history.replaceState(null, '', '/');
});

/** The page of one pool, as its link opens it. */
async function open(detail: Partial<PoolDetail> = {}, snapshot = SNAPSHOT): Promise<void> {
  answer = () => json({ ...POOL_DETAIL, ...detail });
  window.history.replaceState(null, '', POOL_PATH);
  show(snapshot);
  await screen.findByRole('region', { name: 'State' });
}

const quarantined = (reason: string): Snapshot => ({
  ...SNAPSHOT,
  pools: SNAPSHOT.pools.map((pool) => ({ ...pool, state: 'quarantined', reason })),
});
const figure = (name: string): string | null | undefined =>
  screen.getByText(name, { exact: true }).parentElement?.textContent;
const slider = (): HTMLElement => screen.getByRole('slider', { name: /^Liquidity by tick/ });
const said = (): string => slider().getAttribute('aria-valuetext') ?? '';

describe('the table of pools', () => {
  it('has an address of its own and leads to each pool without leaving the page', async () => {
    window.history.replaceState(null, '', '/pools');
    show(SNAPSHOT);
    expect(screen.getByRole('tab', { name: 'Pools', selected: true })).toBeTruthy();
    const link = screen.getByRole('link', { name: LINK });
    expect(link.getAttribute('href')).toBe(POOL_PATH);
    fireEvent.click(link);
    await screen.findByRole('region', { name: 'Liquidity by tick' });
    expect(window.location.pathname).toBe(POOL_PATH);
    expect(document.activeElement?.textContent).toBe('WETH/USDT 0.05 %');
    fireEvent.click(screen.getByRole('link', { name: 'All pools' }));
    expect(screen.getByRole('table', { name: 'Pools' })).toBeTruthy();
    expect(window.location.pathname).toBe('/pools');
  });

  it('says how many pools there are where not all are shown', () => {
    window.history.replaceState(null, '', '/pools');
    const caption = (): string => section('Pools').textContent ?? '';
    show(SNAPSHOT);
    expect(caption()).not.toContain('shown');
    cleanup();
    const chains = SNAPSHOT.chains.map((chain) => ({ ...chain, pools_watched: 1234 }));
    show({ ...SNAPSHOT, chains });
    expect(caption()).toContain('1 of 1,234 shown, those with liquidity of ours first');
  });

  it('leaves a press for another tab of the browser to the browser', () => {
    window.history.replaceState(null, '', '/pools');
    show(SNAPSHOT);
    const is_taken = (press: MouseEventInit): boolean => {
      const event = new MouseEvent('click', { bubbles: true, cancelable: true, ...press });
      // The last to hear it: nothing is to be opened here.
      document.addEventListener('click', (late) => late.preventDefault(), { once: true });
      vi.spyOn(event, 'preventDefault');
      fireEvent(screen.getByRole('link', { name: LINK }), event);
      return vi.mocked(event.preventDefault).mock.calls.length > 1;
    };
    for (const press of [{ ctrlKey: true }, { metaKey: true }, { shiftKey: true }, { button: 1 }])
      expect(is_taken(press)).toBe(false);
    expect(window.location.pathname).toBe('/pools');
    expect(is_taken({})).toBe(true);
  });

  it('is left by the other tabs, and what they chose stays in the address', () => {
    window.history.replaceState(null, '', `${POOL_PATH}?fate=landed`);
    show(SNAPSHOT);
    fireEvent.click(screen.getByRole('tab', { name: 'Arbitrage' }));
    expect(window.location.pathname + window.location.search).toBe('/?fate=landed&page=arbitrage');
    fireEvent.click(screen.getByRole('tab', { name: 'Pools' }));
    expect(window.location.pathname + window.location.search).toBe('/pools?fate=landed');
    fireEvent.click(screen.getByRole('tab', { name: 'Overview' }));
    expect(screen.getByRole('region', { name: 'Did we make money?' })).toBeTruthy();
  });
});

describe('a pool', () => {
  it('is asked for by its chain and address', async () => {
    await open();
    expect((await asked(agent.mock.calls[0]?.[0])).path).toBe(`/api/v1${POOL_PATH}`);
  });

  it('tells price, fee and state with units and sources', async () => {
    await open();
    expect(figure('Price')).toBe('Price2,681.10 USDT per WETH');
    expect(figure('Swap fee')).toBe('Swap fee0.05 %');
    expect(figure('Protocol, WETH in')).toBe('Protocol, WETH in125 pips');
    expect(figure('Protocol, USDT in')).toBe('Protocol, USDT in0 pips');
    expect(figure('Last audit')).toBe('Last audit1,230');
    expect(figure('Audit age')).toBe('Audit age4 blocks');
    expect(figure('As of block')).toMatch(/1,234 0\.[4-9] s/);
    expect(within(section('State')).getByText('live')).toBeTruthy();
    expect(staleness(section('Price and fee'))).toBe('false');
  });

  it('tells what stands near the price, and what is not known', async () => {
    await open();
    const rows = within(screen.getByRole('table', { name: 'Near the price' })).getAllByRole('row');
    expect(rows.map((row) => row.textContent)).toEqual([
      'WithinBelow the price USDTAbove the price WETH',
      '\u00b1 1 %380,000.5140.25',
      '\u00b1 2 %750,000270.5',
      '\u00b1 5 %1,500,000.1234unknown',
    ]);
  });

  it('tells its newest events; a dash is no unknown number', async () => {
    await open();
    const table = within(screen.getByRole('table', { name: 'Newest events' }));
    const cells = table.getAllByRole('row').map((row) =>
      within(row)
        .queryAllByRole('cell')
        .map((cell) => cell.textContent),
    );
    expect(cells[1]?.slice(2)).toEqual(['swap', '\u22120.512345', '+1,373.5', '2,681.10']);
    expect(cells[2]?.slice(2)).toEqual(['protocol fee set', '\u2014', '\u2014', '2,680.40']);
    expect(cells[3]?.slice(2)).toEqual(['liquidity added', '+12.5', 'unknown', '2,680.40']);
    expect(table.getByTitle('\u22120.51234567 WETH')).toBeTruthy();
  });

  it('that nothing happened in says so', async () => {
    await open({ events: [] });
    expect(screen.getByText('No event since this agent read the pool')).toBeTruthy();
  });
});

describe('the liquidity', () => {
  it('is told band by band to whoever uses the keyboard', async () => {
    await open();
    expect(said()).toContain('ticks \u2212197,620 to \u2212197,060, 2,600.00 to 2,750.00');
    expect(slider().getAttribute('aria-valuenow')).toBe('2');
    fireEvent.keyDown(slider(), { key: 'ArrowRight' });
    expect(said()).toContain('2,750.00 to 5,362.20 USDT per WETH: 1.000e18 L');
    expect(screen.getByText(/0\.67 times what is in range now/)).toBeTruthy();
    fireEvent.keyDown(slider(), { key: 'End' });
    expect(slider().getAttribute('aria-valuenow')).toBe('3');
    fireEvent.keyDown(slider(), { key: 'Home' });
    expect(slider().getAttribute('aria-valuenow')).toBe('1');
    fireEvent.keyDown(slider(), { key: 'a' });
    expect(slider().getAttribute('aria-valuenow')).toBe('1');
  });

  it('is told under the pointer', async () => {
    await open();
    vi.spyOn(slider(), 'getBoundingClientRect').mockReturnValue(new DOMRect(100, 0, 1000, 150));
    fireEvent.pointerMove(slider(), { clientX: 110 });
    expect(said()).toContain('1,340.50 to 2,600.00');
    fireEvent.pointerMove(slider(), { clientX: 1090 });
    expect(said()).toContain('2,750.00 to 5,362.20');
    fireEvent.pointerLeave(slider());
    expect(said()).toContain('2,600.00 to 2,750.00');
  });

  it('is drawn near the price when asked, which stays in the address', async () => {
    await open();
    fireEvent.click(screen.getByRole('button', { name: '\u00b1 2 %' }));
    expect(window.location.pathname + window.location.search).toBe(`${POOL_PATH}?within=2`);
    expect(slider().getAttribute('aria-valuemax')).toBe('1');
  });

  it('shades our own ranges, and says which they are', async () => {
    await open();
    const own = screen.getByRole('list', { name: 'Our positions in this pool' });
    expect(own.textContent).toContain('NFT 1 \u00b7 demo-lp \u00b7 2,600.00 to 2,750.00');
    expect(slider().querySelectorAll('rect.own')).toHaveLength(1);
    cleanup();
    const elsewhere = { ...POSITION, chain_id: 31338 };
    await open({}, { ...SNAPSHOT, positions: [elsewhere, { ...POSITION, state: 'closed' }] });
    expect(screen.queryByRole('list', { name: 'Our positions in this pool' })).toBeNull();
  });

  it('is in a table too', async () => {
    await open();
    const table = screen.getByRole('table', { name: 'Liquidity by tick, as a table' });
    expect(within(table).getAllByRole('row')).toHaveLength(4);
  });

  it('that is not known is not drawn', async () => {
    await open({ liquidity: [], price: null, sqrt_price_x96: null, ticks: null });
    expect(screen.getByText('Liquidity unknown: nothing to draw')).toBeTruthy();
    expect(figure('Price')).toBe('Priceunknown');
    expect(figure('Initialized ticks')).toBe('Initialized ticksunknown');
  });

  it('of a pair is the same at every price, without ticks', async () => {
    const [first, , , last] = POOL_DETAIL.liquidity;
    const liquidity = first && last ? [first, last] : [];
    const pair = { sqrt_price_x96: null, ticks: 0, protocol_pips_base: null, liquidity };
    await open(pair);
    expect(slider().getAttribute('aria-valuemax')).toBe('1');
    expect(figure('Tick spacing')).toBe('Tick spacing\u2014');
    expect(figure('Protocol, WETH in')).toBe('Protocol, WETH inunknown');
  });
});

describe('trust', () => {
  it('that is gone is said with its reason, as text', async () => {
    await open({}, quarantined('differs: <img src=x onerror="document.title=1">'));
    const state = section('State');
    expect(within(state).getByText('quarantined')).toBeTruthy();
    expect(within(state).getByRole('note').textContent).toContain('<img src=x');
    expect(document.querySelector('img')).toBeNull();
    for (const name of ['Price and fee', 'Liquidity by tick', 'Near the price', 'Newest events'])
      expect(staleness(section(name))).toBe('true');
    expect(staleness(state)).toBe('false');
  });

  it('is not given to an old answer', async () => {
    await open({ at_ms: SNAPSHOT.at_ms - 11_000 });
    expect(staleness(section('Price and fee'))).toBe('true');
    expect(within(section('Price and fee')).getByText('not told for over 10 s')).toBeTruthy();
  });
});

describe('a pool that is not told', () => {
  it('because there is none is refused with the names of the others', async () => {
    const names = 'there are 31337/0xab (uniswap_v3 WETH/USDT)';
    answer = () => json({ title: 'no such pool', detail: names, status: 404 }, 404);
    window.history.replaceState(null, '', '/pools/31337/0x00');
    show(SNAPSHOT);
    expect((await screen.findByRole('alert')).textContent).toBe(`no such pool: ${names}`);
    expect(screen.queryByRole('region', { name: 'State' })).toBeNull();
    expect(screen.getByRole('link', { name: 'All pools' })).toBeTruthy();
  });

  it('yet is being asked for', () => {
    agent.mockReturnValue(new Promise(() => undefined));
    window.history.replaceState(null, '', POOL_PATH);
    show(SNAPSHOT);
    expect(screen.getByText('Asking the agent')).toBeTruthy();
    expect(screen.getByRole('heading', { level: 1 }).textContent).toBe('WETH/USDT 0.05 %');
  });

  it('once more keeps its figures and says so', async () => {
    vi.useFakeTimers({ shouldAdvanceTime: true });
    await open();
    answer = () => json({ title: 'the loop does not answer', detail: 'ask again' }, 503);
    await vi.advanceTimersByTimeAsync(2_100);
    await waitFor(() =>
      expect(screen.getByRole('alert').textContent).toBe(
        'Not told: the loop does not answer: ask again',
      ),
    );
    expect(figure('Price')).toContain('2,681.10');
  });

  it('in a known shape is refused at the door', async () => {
    answer = () => json({ at_ms: 1 });
    window.history.replaceState(null, '', POOL_PATH);
    show(SNAPSHOT);
    expect((await screen.findByRole('alert')).textContent).toContain('unknown shape');
  });
});
