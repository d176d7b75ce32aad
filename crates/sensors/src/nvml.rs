//! NVIDIA's boards, by their management library, which is loaded when it is
//! there: a machine without one has no such library, and needs none to build.

use std::sync::Arc;

use nvml_wrapper::Nvml;

use crate::{Counter, Found};

struct Board {
    name: String,
    index: u32,
    nvml: Arc<Nvml>,
}

impl Counter for Board {
    fn name(&self) -> &str {
        &self.name
    }
    fn microjoules(&mut self) -> Option<u64> {
        let board = self.nvml.device_by_index(self.index).ok()?;
        // In millijoules since the driver was loaded; since Volta.
        board.total_energy_consumption().ok()?.checked_mul(1_000)
    }
    fn range(&self) -> Option<u64> {
        None
    }
}

/// Adds the boards, in the order of the library's numbers.
pub(crate) fn find(found: &mut Found) {
    let Ok(nvml) = Nvml::init() else { return };
    let nvml = Arc::new(nvml);
    for index in 0..nvml.device_count().unwrap_or(0) {
        let name = format!("gpu-{index}");
        let mut board = Board { name: name.clone(), index, nvml: Arc::clone(&nvml) };
        match board.microjoules() {
            Some(_) => found.counters.push(Box::new(board)),
            None => found.hidden.push(format!("{name}: the board counts no energy")),
        }
    }
}
