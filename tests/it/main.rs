//! Integration tests: one program, so that it links once.

mod tidy;
