//! Many sorted texts in little memory: of each one only what differs from the text before it is kept.
//!
//! Two hundred thousand paths of a bundle take 5 MB this way instead of 20.

/// Every so many texts one stands in full, so that a text is found without reading all before it.
const STRIDE: usize = 16;

/// Texts that grow by their bytes, each one with a number: its place.
#[derive(Debug, Default)]
pub(super) struct Paths {
    /// For each text the length it has in common with the one before, the length of the rest, and the rest.
    bytes: Vec<u8>,
    /// Where each [`STRIDE`]th text begins.
    starts: Vec<u32>,
    count: usize,
    last: String,
}

/// A text that is not greater than the one before it, or for which there is no room.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct OutOfOrder;

impl Paths {
    /// Adds a text greater than all there are.
    pub(super) fn push(&mut self, text: &str) -> Result<(), OutOfOrder> {
        if self.count > 0 && text <= self.last.as_str() {
            return Err(OutOfOrder);
        }
        let mut common = 0;
        if self.count.is_multiple_of(STRIDE) {
            self.starts.push(u32::try_from(self.bytes.len()).map_err(|_| OutOfOrder)?);
        } else {
            let pairs = self.last.bytes().zip(text.bytes());
            common =
                text.floor_char_boundary(pairs.take_while(|(one, other)| one == other).count());
        }
        write_number(&mut self.bytes, common);
        write_number(&mut self.bytes, text.len() - common);
        self.bytes.extend_from_slice(&text.as_bytes()[common..]);
        self.last.truncate(0);
        self.last.push_str(text);
        self.count += 1;
        Ok(())
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// Bytes of memory it takes.
    pub(super) fn memory(&self) -> usize {
        self.bytes.capacity() + 4 * self.starts.capacity()
    }

    /// Gives back memory that was taken to grow.
    pub(super) fn shrink(&mut self) {
        self.bytes.shrink_to_fit();
        self.starts.shrink_to_fit();
    }

    /// The text with a number, put into `text`.
    pub(super) fn read(&self, index: usize, text: &mut String) {
        let mut reading = self.block(index / STRIDE);
        for _ in 0..=index % STRIDE {
            reading.next(text);
        }
    }

    /// The number of a text.
    pub(super) fn find(&self, wanted: &str) -> Option<usize> {
        let mut text = String::new();
        let (mut low, mut high) = (0, self.starts.len());
        // The last block that does not begin after it.
        while low < high {
            let middle = usize::midpoint(low, high);
            self.block(middle).next(&mut text);
            if text.as_str() <= wanted { low = middle + 1 } else { high = middle }
        }
        let block = low.checked_sub(1)?;
        let mut reading = self.block(block);
        (block * STRIDE..self.count.min((block + 1) * STRIDE)).find(|_| {
            reading.next(&mut text);
            text == wanted
        })
    }

    /// Calls `each` with every text, in order.
    pub(super) fn each(&self, mut each: impl FnMut(usize, &str)) {
        let mut text = String::new();
        let mut reading = Reading { bytes: &self.bytes };
        for index in 0..self.count {
            reading.next(&mut text);
            each(index, &text);
        }
    }

    fn block(&self, block: usize) -> Reading<'_> {
        Reading { bytes: &self.bytes[self.starts[block] as usize..] }
    }
}

/// What is left to read.
struct Reading<'a> {
    bytes: &'a [u8],
}

impl Reading<'_> {
    fn next(&mut self, text: &mut String) {
        let common = self.number();
        let length = self.number();
        let (rest, after) = self.bytes.split_at(length);
        self.bytes = after;
        text.truncate(common);
        text.push_str(std::str::from_utf8(rest).expect("texts are cut between characters"));
    }

    fn number(&mut self) -> usize {
        let mut number = 0;
        for shift in (0..).step_by(7) {
            let (byte, after) = self.bytes.split_first().expect("what was written is read");
            self.bytes = after;
            number |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        number
    }
}

fn write_number(bytes: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push((number & 0x7f) as u8);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn all(texts: &BTreeSet<String>) -> Paths {
        let mut paths = Paths::default();
        for text in texts {
            paths.push(text).expect("they are sorted");
        }
        paths
    }

    proptest! {
        #[test]
        fn texts_are_read_back_and_found(
            texts in proptest::collection::btree_set("[a-cé☃/]{0,9}", 0..80), other in "[a-cé/]{0,9}",
        ) {
            let paths = all(&texts);
            prop_assert_eq!(paths.len(), texts.len());
            let mut read = String::new();
            for (index, text) in texts.iter().enumerate() {
                paths.read(index, &mut read);
                prop_assert_eq!(&read, text);
                prop_assert_eq!(paths.find(text), Some(index));
            }
            let mut listed = Vec::new();
            paths.each(|_, text| listed.push(text.to_owned()));
            prop_assert!(listed.iter().eq(texts.iter()));
            prop_assert_eq!(paths.find(&other).is_some(), texts.contains(&other));
        }
    }

    #[test]
    fn each_is_greater_than_the_one_before() {
        let mut paths = Paths::default();
        paths.push("b").expect("the first");
        assert_eq!(paths.push("b"), Err(OutOfOrder));
        assert_eq!(paths.push("a"), Err(OutOfOrder));
        paths.push("ba").expect("greater");
        assert_eq!(paths.len(), 2);
    }

    #[test]
    fn paths_of_a_bundle_take_little() {
        let name = |file| {
            format!("app/node_modules/@scope/package-{:05}/dist/module-{file:06}.js", file / 30)
        };
        let texts: BTreeSet<String> = (0..30_000).map(name).collect();
        let plain: usize = texts.iter().map(String::len).sum();
        let mut paths = all(&texts);
        paths.shrink();
        assert!(paths.memory() * 4 < plain, "{} of {plain}", paths.memory());
    }
}
