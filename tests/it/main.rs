//! All integration tests, in one binary. Tests under `live::` start real servers; the others need none.

mod live;
