//! Screens from answers of a real pgvigil.
