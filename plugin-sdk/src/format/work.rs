//! How much one call does.

/// The work that is left in one call of a plugin, in entries of tables that are looked at.
///
/// The host stops a call that uses more processor time than its limit, on any machine. So whatever
/// grows with an image goes in slices: a call ends when its budget is used up, and says where the
/// next one continues. One entry is some ten nanoseconds in a component; the default budget stays
/// below a tenth of the default limit on a machine from 2020.
///
/// ```
/// use imprint_plugin_sdk::format::Budget;
///
/// let (mut budget, mut entries) = (Budget::of_a_call(), 0..u64::MAX);
/// while budget.is_left() {
///     entries.next();
///     budget.spend(1);
/// }
/// assert_eq!(entries.start, Budget::ENTRIES);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget(u64);

impl Budget {
    /// The entries of one call.
    pub const ENTRIES: u64 = 2 << 20;

    /// Returns the budget of a call that begins.
    pub fn of_a_call() -> Self {
        Self(Self::ENTRIES)
    }

    /// Returns whether the call may continue.
    pub fn is_left(self) -> bool {
        self.0 > 0
    }

    /// Returns the entries that are left.
    pub fn left(self) -> u64 {
        self.0
    }

    /// Takes the price of `entries` from what is left.
    pub fn spend(&mut self, entries: u64) {
        self.0 = self.0.saturating_sub(entries);
    }

    /// Ends the call, whatever was left.
    pub fn use_up(&mut self) {
        self.0 = 0;
    }
}
