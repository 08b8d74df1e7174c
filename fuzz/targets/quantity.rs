//! A quantity is rejected, or keeps its value when it is written and parsed again. The text settles after one more round: a
//! fraction such as `62.5Ki` is written without a suffix, and Go too then reads that number as decimal and writes `64k`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use redis_operator::domain::quantity::Quantity;

fuzz_target!(|text: &str| {
    let Ok(quantity) = Quantity::parse(text) else { return };
    for stored in [quantity, quantity.rounded_up_to_milli()] {
        let written = stored.to_string();
        let again = Quantity::parse(&written).expect(&written);
        assert_eq!(again, stored, "{text:?} is written {written}");
        let settled = again.to_string();
        let last = Quantity::parse(&settled).expect(&settled);
        assert_eq!(last, stored, "{text:?} is written {written}, then {settled}");
        assert_eq!(last.to_string(), settled, "{text:?} is written {written}, then {settled}");
    }
});
