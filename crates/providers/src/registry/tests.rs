//! Configuration (R3, R6, R40).
