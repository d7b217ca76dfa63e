//! What runs in any case, once a file is loaded or started.
//!
//! Functions are walked from where the system enters the file. Of one, those instructions count that stand on every
//! path from its start to its end (they dominate its end), and the functions that those call are walked in turn. What
//! stands behind a test is on one path and not on the other, so whatever asks the processor first is not counted.
//! Calls through pointers lead nowhere here: less is found than there is, and what is found is so.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{Code, Feature, Features, Roots};

/// One instruction.
pub(super) struct Stepped {
    pub(super) next: u64,
    pub(super) flow: Flow,
    pub(super) features: Features,
    /// The address that it puts into a register.
    pub(super) constant: Option<u64>,
    /// The address that it reads a pointer from.
    pub(super) slot: Option<u64>,
}

/// Where it goes on.
#[derive(Clone, Copy)]
pub(super) enum Flow {
    On,
    Branch(u64),
    Jump(u64),
    Call(u64),
    CallElsewhere,
    /// To the caller, to somewhere unknown, or nowhere.
    End,
}

/// Decodes the first instruction of these bytes, which are at this address; `None` if it is none.
pub(super) type Step = fn(&[u8], u64) -> Option<Stepped>;

/// The longest function that is walked, in instructions.
const MAX_FUNCTION: usize = 4096;

/// How many instructions are walked in a file.
const MAX_STEPS: usize = 200_000;

/// How far the first function of a program is searched for those it hands to the C library.
const MAX_START: usize = 40;

/// The first address of every feature that is certain.
pub(super) fn find(
    code: &Code<'_>,
    roots: &Roots,
    step: Step,
    pointer: &dyn Fn(u64) -> Option<u64>,
) -> BTreeMap<Feature, u64> {
    let mut pending: Vec<u64> = roots.functions.clone();
    if let Some(start) = roots.start {
        pending.push(start);
        pending.extend(handed_on(code, start, step, pointer));
    }
    pending.reverse();
    let mut found = BTreeMap::new();
    let mut known: HashSet<u64> = pending.iter().copied().collect();
    let mut steps = 0;
    while let Some(function) = pending.pop() {
        let graph = Graph::of(code, function, step);
        steps += graph.nodes.len();
        if steps > MAX_STEPS {
            break;
        }
        for node in graph.certain() {
            let Node { address, flow, features, .. } = &graph.nodes[node];
            for feature in features.iter() {
                found.entry(feature).or_insert(*address);
            }
            if let Flow::Call(target) = flow
                && known.insert(*target)
            {
                pending.push(*target);
            }
        }
    }
    found
}

/// The functions whose addresses a program's start puts into registers: `main` and its kin.
fn handed_on(
    code: &Code<'_>,
    start: u64,
    step: Step,
    pointer: &dyn Fn(u64) -> Option<u64>,
) -> Vec<u64> {
    let mut functions = Vec::new();
    let mut address = start;
    for _ in 0..MAX_START {
        let Some(one) = code.at(address).and_then(|bytes| step(bytes, address)) else { break };
        functions.extend(one.constant);
        functions.extend(one.slot.and_then(pointer));
        if matches!(one.flow, Flow::Call(_) | Flow::CallElsewhere | Flow::End | Flow::Jump(_)) {
            break;
        }
        address = one.next;
    }
    functions.retain(|function| code.at(*function).is_some());
    functions
}

/// The instructions of one function, and which may follow which.
struct Graph {
    nodes: Vec<Node>,
    /// Whether all of it was walked.
    is_whole: bool,
}

struct Node {
    address: u64,
    flow: Flow,
    features: Features,
    next: Vec<usize>,
    /// Whether the function may end here.
    ends: bool,
}

impl Graph {
    /// The first node is the function's start.
    fn of(code: &Code<'_>, function: u64, step: Step) -> Self {
        let mut graph = Self { nodes: Vec::new(), is_whole: true };
        let mut places: HashMap<u64, usize> = HashMap::new();
        let mut follows: Vec<Vec<u64>> = Vec::new();
        let mut pending = vec![function];
        while let Some(address) = pending.pop() {
            if places.contains_key(&address) {
                continue;
            }
            let Some(one) = code.at(address).and_then(|bytes| step(bytes, address)) else {
                continue;
            };
            if graph.nodes.len() >= MAX_FUNCTION {
                graph.is_whole = false;
                break;
            }
            places.insert(address, graph.nodes.len());
            let follow = match one.flow {
                Flow::On => vec![one.next],
                Flow::Branch(target) => vec![target, one.next],
                Flow::Jump(target) => vec![target],
                Flow::Call(_) | Flow::CallElsewhere if !is_padding(code, one.next) => {
                    vec![one.next]
                }
                // Nothing but padding follows a call that does not come back.
                Flow::Call(_) | Flow::CallElsewhere | Flow::End => vec![],
            };
            pending.extend(&follow);
            follows.push(follow);
            let Stepped { flow, features, .. } = one;
            graph.nodes.push(Node { address, flow, features, next: Vec::new(), ends: false });
        }
        for (node, follow) in graph.nodes.iter_mut().zip(follows) {
            node.next = follow.iter().filter_map(|address| places.get(address).copied()).collect();
            // What could not be decoded is an end too.
            node.ends = node.next.len() < follow.len() || follow.is_empty();
        }
        graph
    }

    /// The instructions that every path from the start to an end has. Of a function that is too large, or never ends,
    /// those before its first branch.
    fn certain(&self) -> Vec<usize> {
        if self.nodes.is_empty() {
            return Vec::new();
        }
        let dominators = if self.is_whole { self.dominators_of_the_end() } else { None };
        dominators.unwrap_or_else(|| {
            let mut straight = vec![0];
            let mut seen = HashSet::from([0]);
            while let Some(Node { next, ends: false, .. }) =
                straight.last().map(|at| &self.nodes[*at])
                && let [only] = next.as_slice()
                && seen.insert(*only)
            {
                straight.push(*only);
            }
            straight
        })
    }

    /// By "A Simple, Fast Dominance Algorithm" (Cooper, Harvey, Kennedy), with one end behind all ends.
    fn dominators_of_the_end(&self) -> Option<Vec<usize>> {
        let end = self.nodes.len();
        let order = self.order();
        let mut rank = vec![usize::MAX; end + 1];
        for (place, node) in order.iter().enumerate() {
            rank[*node] = place;
        }
        if rank[end] == usize::MAX {
            return None;
        }
        let mut before: Vec<Vec<usize>> = vec![Vec::new(); order.len()];
        for (place, node) in order.iter().enumerate() {
            for next in self.following(*node) {
                before[rank[next]].push(place);
            }
        }
        let mut above: Vec<Option<usize>> = vec![None; order.len()];
        above[0] = Some(0);
        let mut has_changed = true;
        while has_changed {
            has_changed = false;
            for place in 1..order.len() {
                let known = before[place].iter().copied().filter(|one| above[*one].is_some());
                let met = known.reduce(|mut one, mut other| {
                    while one != other {
                        if one > other {
                            one = above[one].unwrap_or(0);
                        } else {
                            other = above[other].unwrap_or(0);
                        }
                    }
                    one
                });
                if met.is_some() && above[place] != met {
                    above[place] = met;
                    has_changed = true;
                }
            }
        }
        let mut certain = Vec::new();
        let mut place = rank[end];
        while place != 0 {
            place = above[place].unwrap_or(0);
            certain.push(order[place]);
        }
        certain.reverse();
        Some(certain)
    }

    fn following(&self, node: usize) -> impl Iterator<Item = usize> {
        let end = self.nodes.len();
        let one = self.nodes.get(node);
        let next = one.map(|one| one.next.as_slice()).unwrap_or_default();
        next.iter().copied().chain(one.is_some_and(|one| one.ends).then_some(end))
    }

    /// What can be reached, each before what follows it except around loops.
    fn order(&self) -> Vec<usize> {
        let mut done = Vec::new();
        let mut seen = vec![false; self.nodes.len() + 1];
        let mut pending = vec![(0, self.following(0).collect::<Vec<_>>())];
        seen[0] = true;
        while let Some((node, left)) = pending.last_mut() {
            match left.pop() {
                Some(next) if !seen[next] => {
                    seen[next] = true;
                    pending.push((next, self.following(next).collect()));
                }
                Some(_) => {}
                None => {
                    done.push(*node);
                    pending.pop();
                }
            }
        }
        done.reverse();
        done
    }
}

/// Whether what fills the room between functions is here.
fn is_padding(code: &Code<'_>, address: u64) -> bool {
    let Some(bytes) = code.at(address) else { return true };
    let paddings: &[&[u8]] = match code.machine {
        // nop in several lengths, int3, ud2, hlt
        crate::facts::Machine::X64 => &[
            &[0x90],
            &[0xcc],
            &[0xf4],
            &[0x0f, 0x0b],
            &[0x0f, 0x1f],
            &[0x66, 0x90],
            &[0x66, 0x0f, 0x1f],
            &[0x66, 0x2e],
            &[0x66, 0x66],
        ],
        // nop, udf, brk
        _ => &[&[0x1f, 0x20, 0x03, 0xd5], &[0, 0, 0, 0], &[0x20, 0, 0x20, 0xd4]],
    };
    paddings.iter().any(|padding| bytes.starts_with(padding))
}
