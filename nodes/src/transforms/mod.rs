//! What turns items into other items.
