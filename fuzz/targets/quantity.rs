//! A quantity is refused, or says the same after being written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use redis_operator::domain::quantity::Quantity;

fuzz_target!(|text: &str| {
    let Ok(quantity) = Quantity::parse(text) else { return };
    for stored in [quantity, quantity.rounded_up_to_milli()] {
        let written = stored.to_string();
        let again = Quantity::parse(&written).expect(&written);
        assert_eq!(again, stored, "{text:?} is written {written}");
        assert_eq!(again.to_string(), written, "{text:?}");
    }
});
