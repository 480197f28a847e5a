//! Values off the bytes of an input, in the order they are asked for, big-endian.
//!
//! Invariant: every input is whole, because past its end all bytes are zero.

use alloy::primitives::U256;
use tidekeeper::math::amm::Direction;
use tidekeeper::math::amm::tick::{MAX_TICK, MIN_TICK};
use tidekeeper::math::amm::v3::SwapAmount;

pub(super) struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All that was not asked for yet.
    pub(super) fn rest(self) -> &'a [u8] {
        self.0
    }

    pub(super) fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut array = [0; N];
        let bytes = self.next(N);
        array[..bytes.len()].copy_from_slice(bytes);
        array
    }

    pub(super) fn byte(&mut self) -> u8 {
        u8::from_be_bytes(self.array())
    }

    pub(super) fn u16(&mut self) -> u16 {
        u16::from_be_bytes(self.array())
    }

    pub(super) fn i16(&mut self) -> i16 {
        i16::from_be_bytes(self.array())
    }

    pub(super) fn u32(&mut self) -> u32 {
        u32::from_be_bytes(self.array())
    }

    pub(super) fn i32(&mut self) -> i32 {
        i32::from_be_bytes(self.array())
    }

    /// A length in one byte, modulo 33, and a number of so many bytes: all sizes are alike short to
    /// write.
    pub(super) fn wide(&mut self) -> U256 {
        let length = usize::from(self.byte()) % 33;
        U256::from_be_slice(self.next(length))
    }

    /// The low half of a [`Input::wide`].
    pub(super) fn u128(&mut self) -> u128 {
        let [low, high, ..] = self.wide().into_limbs();
        u128::from(low) | u128::from(high) << 64
    }

    /// The low bits of a [`Input::u128`].
    pub(super) fn bits(&mut self, bits: u32) -> u128 {
        self.u128() & ((1 << bits) - 1)
    }

    /// A tick that a price can have.
    pub(super) fn tick(&mut self) -> i32 {
        MIN_TICK + self.i32().rem_euclid(MAX_TICK - MIN_TICK)
    }

    pub(super) fn pick<T: Copy, const N: usize>(&mut self, choices: [T; N]) -> T {
        choices[usize::from(self.byte()) % N]
    }

    fn next(&mut self, length: usize) -> &'a [u8] {
        let (now, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        now
    }
}

/// Eight yes or no.
#[derive(Clone, Copy)]
pub(super) struct Flags(pub(super) u8);

impl Flags {
    pub(super) fn has(self, bit: u8) -> bool {
        self.0 >> bit & 1 == 1
    }

    /// Bit 1 tells the way of a swap.
    pub(super) fn direction(self) -> Direction {
        if self.has(1) { Direction::OneForZero } else { Direction::ZeroForOne }
    }

    /// Bit 2 tells which side of a swap is fixed.
    pub(super) fn amount(self, raw: U256) -> SwapAmount {
        if self.has(2) { SwapAmount::ExactOut(raw) } else { SwapAmount::ExactIn(raw) }
    }
}
