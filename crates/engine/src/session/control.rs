//! What the conformance suite may do to a session: stop its clock, make its storage fail, kill it.

use lix_engine_protocol::proto::{
    ControlResponse, CrashPoint, FaultPoint, InjectFault, control_request, response,
};
use lix_engine_protocol::{Error, Outcome, Reason, Result};

use super::{Effect, ManualClock, Session, Sink};

impl Session {
    /// Steers time and faults. Nothing comes back from a session that is told to die at once.
    pub(super) fn control(
        &mut self,
        op: Option<control_request::Op>,
        sink: Sink<'_>,
    ) -> Result<Option<Outcome>> {
        use control_request::Op;
        match op {
            Some(Op::InjectFault(_) | Op::CrashNow(_)) if !self.options.conformance => {
                return Err(Error::capability("FAULTS"));
            }
            Some(_) if !self.options.conformance => return Err(Error::capability("MANUAL_CLOCK")),
            // It stands still already.
            Some(Op::SetClock(set)) if set.manual && self.clock.is_manual => {}
            Some(Op::SetClock(set)) => {
                let now_ms = self.platform.monotonic_ms();
                self.clock = ManualClock { is_manual: set.manual, now_ms };
            }
            Some(Op::AdvanceClock(advance)) if self.clock.is_manual => {
                self.advance(self.clock.now_ms + u64::from(advance.ms), sink);
            }
            Some(Op::AdvanceClock(_)) => {
                let message = "only a manual clock can be advanced";
                return Err(Error::new(Reason::OptionInvalid, message).subject("advance_clock"));
            }
            Some(Op::InjectFault(fault)) => self.inject(&fault)?,
            Some(Op::CrashNow(crash)) => match crash.point() {
                CrashPoint::Unspecified => {
                    self.die(sink);
                    return Ok(None);
                }
                point => self.faults.crash_at(point),
            },
            None => {
                return Err(Error::new(Reason::CallUnknown, "this engine knows no such control"));
            }
        }
        let clock_ms = self.clock.now_ms;
        let response = ControlResponse { clock_ms, storage_writes: self.faults.writes() };
        Ok(Some(Outcome::Plain(response::Outcome::Control(response))))
    }

    /// Moves virtual time; saves that become due on the way are made at their time.
    fn advance(&mut self, target_ms: u64, sink: Sink<'_>) {
        while let Some(due_ms) = self.due_ms().filter(|due| *due <= target_ms) {
            self.clock.now_ms = self.clock.now_ms.max(due_ms);
            self.save_to_end(sink);
            if self.died(sink) {
                return;
            }
        }
        self.save_running(sink);
        self.clock.now_ms = target_ms;
    }

    fn inject(&mut self, fault: &InjectFault) -> Result<()> {
        let invalid = |message: &str, subject: &str| {
            Err(Error::new(Reason::OptionInvalid, message).subject(subject))
        };
        let point = match fault.point() {
            FaultPoint::Unspecified => return invalid("where?", "inject_fault.point"),
            point => point,
        };
        let Some(reason) = Reason::ALL.iter().find(|reason| reason.as_str() == fault.reason) else {
            return invalid("the registry has no such reason", "inject_fault.reason");
        };
        self.faults.inject(point, fault.count, Error::new(*reason, "as the test wanted it"));
        Ok(())
    }

    /// Whether the session was told to die and just did.
    pub(super) fn died(&mut self, sink: Sink<'_>) -> bool {
        if self.faults.is_crashed() && !self.is_over() {
            self.die(sink);
        }
        self.faults.is_crashed()
    }

    fn die(&mut self, sink: Sink<'_>) {
        self.queue.clear();
        self.held.clear();
        self.give_up(Reason::Failed);
        sink(Effect::Crash);
    }
}
