//! What makes readings.
