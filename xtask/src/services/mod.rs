//! Services: the processes a bundle brings besides its gateway. One module per kind.

pub mod python;
