//! What carries items out of the graph.
