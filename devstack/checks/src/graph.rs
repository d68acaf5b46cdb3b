//! A directed graph of files and its circles.

use std::collections::{BTreeMap, BTreeSet};

/// Which file uses which others, by path.
pub type Graph = BTreeMap<String, BTreeSet<String>>;

/// The sets of files that use each other in a circle (strongly connected components of more than
/// one file), each sorted.
pub fn circles(graph: &Graph) -> Vec<Vec<String>> {
    let reachable: BTreeMap<&str, BTreeSet<&str>> = graph
        .keys()
        .map(|file| (file.as_str(), reachable_from(graph, file)))
        .collect();
    let mut seen = BTreeSet::new();
    let mut circles = Vec::new();
    for (file, reached) in &reachable {
        let circle: Vec<String> = reached
            .iter()
            .filter(|other| {
                reachable
                    .get(*other)
                    .is_some_and(|back| back.contains(file))
            })
            .map(|other| (*other).to_owned())
            .collect();
        if circle.len() > 1 && seen.insert(circle.clone()) {
            circles.push(circle);
        }
    }
    circles
}

fn reachable_from<'a>(graph: &'a Graph, start: &str) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut open = vec![start];
    while let Some(file) = open.pop() {
        for next in graph.get(file).into_iter().flatten() {
            if reached.insert(next.as_str()) {
                open.push(next);
            }
        }
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(edges: &[(&str, &str)]) -> Graph {
        let mut graph = Graph::new();
        for (from, to) in edges {
            graph
                .entry((*from).to_owned())
                .or_default()
                .insert((*to).to_owned());
        }
        graph
    }

    #[test]
    fn files_that_use_each_other_are_one_circle() {
        let graph = graph(&[("a", "b"), ("b", "c"), ("c", "a"), ("c", "d"), ("e", "a")]);
        assert_eq!(circles(&graph), [["a", "b", "c"]]);
    }

    #[test]
    fn a_graph_that_points_one_way_has_no_circle() {
        let graph = graph(&[("a", "b"), ("a", "c"), ("b", "c")]);
        assert!(circles(&graph).is_empty());
    }
}
