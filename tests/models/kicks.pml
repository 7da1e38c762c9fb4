/* Kicks and interrupts of a virtqueue: BlkQueue and Virtqueue (hw/pci/virtio) and a driver with two virtual CPUs that
 * submit, one that takes what is used, and with -DRESET one that resets the device. -DEVENT_IDX: by the event index, else
 * by flags. -DPOLLING: on a loop that polls. Checked by tests/arch/models_test.sh.
 *
 * Each access to the ring is one step, and steps are sequentially consistent: the full fences of the code (in
 * Virtqueue::enable_kicks() and wants_interrupt(), and in the driver) order what has to be. The variants
 * BROKEN_LOOK_BEFORE_... do what a missing fence would allow. That turns exclude each other, and that a notification
 * runs, is the matter of loop.pml; here `owned` and `kicked` stand for it.
 *
 * Properties:
 *   no lost kick:       when nothing moves any more, no chain is available that was not taken;
 *   no lost interrupt:  when nothing moves any more, no chain is used that the driver has not seen;
 *   nothing old:        what was taken before a reset is not published after it.
 */

#ifdef RESET                       /* either several kicks at once or a reset, which keeps the number of states small */
#define SUBMITTERS 1
#define REQUESTS 2
#else
#define SUBMITTERS 2
#define REQUESTS 3
#endif
#define RING 2                     /* entries */

/* The ring, as both sides see it. Indices do not come round here: there are few requests. */
byte avail_idx, used_idx;
bool no_notify;                    /* used.flags, VRING_USED_F_NO_NOTIFY */
bool no_interrupt;                 /* avail.flags, VRING_AVAIL_F_NO_INTERRUPT */
byte avail_event, used_event;
byte generation;                   /* resets so far */

/* index_passes() */
#define passes(event, now, before) (((now - event - 1) & 255) < ((now - before) & 255))

/* The driver. */
byte to_submit = REQUESTS;
byte seen;                         /* used entries taken */
bool locked;                       /* its lock of the queue */
bool interrupt;                    /* an interrupt that was not handled yet */

/* The device: BlkQueue and its Virtqueue. */
bool running = true;
byte next_avail, next_used, signalled;
byte of_ring[2];                   /* requests that the engine has, by the generation of their ring */
bool stopping, stop_done;            /* a stop is asked for; it waits for requests; it is done */
bool stop_asked, start_asked;      /* tasks posted to the loop */
bool alarm_set, kicked_since_armed;
bool owned;                        /* some thread is the loop */
bool kicked;                       /* the notifier is queued */
bool on_kick_thread;               /* the turn is a kick's, on the thread that kicks */

#define in_flight (of_ring[0] + of_ring[1])
#define has_more (running && avail_idx != next_avail)

/* Virtqueue::disable_kicks(kTurn) */
inline disable_kicks() {
#ifndef EVENT_IDX
  if
  :: running -> no_notify = true
  :: else
  fi
#else
  skip
#endif
}

/* Virtqueue::enable_kicks(kNextChain): `more` is its result. */
inline enable_kicks() {
  if
  :: !running -> more = false
  :: else ->
#ifdef BROKEN_LOOK_BEFORE_ENABLING_KICKS
     more = (avail_idx != next_avail);
#endif
#ifdef EVENT_IDX
     avail_event = next_avail;
#else
     no_notify = false;
#endif
#ifdef BROKEN_NO_SECOND_LOOK
     more = false
#else
#ifndef BROKEN_LOOK_BEFORE_ENABLING_KICKS
     more = (avail_idx != next_avail)
#else
     skip
#endif
#endif
  fi
}

/* Virtqueue::enable_kicks(kBeyondRing) */
inline enable_kicks_beyond_ring() {
#ifdef EVENT_IDX
  avail_event = avail_idx
#else
  no_notify = false
#endif
}

/* Virtqueue::publish() */
inline publish() {
  d_step {
    if
    :: used_idx != next_used ->
       assert(running);
       used_idx = next_used
    :: else
    fi
  }
}

/* BlkQueue::signal(), Virtqueue::wants_interrupt() */
inline signal() {
#ifdef BROKEN_LOOK_BEFORE_PUBLISHING
  look_for_wish();
  publish();
#else
  publish();
  look_for_wish();
#endif
}

inline look_for_wish() {
  d_step {
    if
#ifdef EVENT_IDX
    :: signalled != next_used && passes(used_event, next_used, signalled) -> interrupt = true
#else
    :: signalled != next_used && !no_interrupt -> interrupt = true
#endif
    :: else
    fi;
    signalled = next_used
  }
}

/* BlkQueue::finish(), for a request that is done. It may end a group. */
inline finish() {
  next_used++;
  if
  :: publish()
  :: skip
  fi
}

/* BlkQueue::batch_done() */
inline batch_done() {
  signal();
  d_step {
    if
    :: stopping && in_flight == 0 -> stopping = false; running = false; stop_done = true
    :: else
    fi
  }
}

/* BlkQueue::serve(), process_available() and schedule_remaining() */
inline serve() {
  d_step { late = false; over = false; more = true }
  do
  :: more ->
     disable_kicks();
     do
     :: !late && !stopping && has_more ->                   /* Virtqueue::pop() */
        next_avail++;
        if
        :: finish()                                         /* it is done at once, */
        :: of_ring[generation]++                            /* or has to wait */
        fi;
        if
        :: late = true                                      /* time is up, or so many were taken */
        :: skip
        fi
     :: else -> break
     od;
     signal();
     if
     :: stopping -> more = false
     :: else ->
        over = late && has_more;
        if
        :: over -> more = false
#ifdef POLLING
        :: !over && !on_kick_thread -> more = false         /* the loop looks again before it sleeps */
        :: !over && on_kick_thread -> enable_kicks()
#else
        :: !over -> enable_kicks()
#endif
        fi
     fi
  :: else -> break
  od;
  if
  :: over ->                                                /* schedule_remaining() */
     if
     :: on_kick_thread && in_flight == 0 ->                 /* it is little, */
        enable_kicks_beyond_ring();
#ifndef BROKEN_NO_TIMER
        d_step { kicked_since_armed = alarm_set; alarm_set = true }
#endif
     :: kicked = true                                       /* or is not, or has to wait: the loop does it */
     fi
  :: else
  fi;
  d_step { late = false; over = false; more = false }
}

/* BlkQueue::on_kick() */
inline on_kick() {
  if
  :: running -> serve()
  :: else
  fi
}

/* BlkQueue::on_alarm() */
inline on_alarm() {
  alarm_set = false;
  if
  :: !has_more || stopping
  :: else ->
     if
     :: kicked_since_armed ->
        kicked_since_armed = false;
#ifndef BROKEN_TIMER_IS_NOT_SET_AGAIN
        alarm_set = true
#endif
     :: else -> serve()
     fi
  fi
}

/* BlkQueue::request_done(), for one or more requests, and batch_done(). */
inline complete() {
  do
  :: in_flight > 0 ->
     assert(of_ring[1 - generation] == 0);                  /* nothing old */
     of_ring[generation]--;
     finish()
  :: in_flight == 0 || true -> break
  od;
  batch_done()
}

/* BlkQueue::stop(), finish_requests() */
inline stop() {
  d_step {
    stop_asked = false;
    if
#ifndef BROKEN_RESET_DOES_NOT_WAIT
    :: in_flight > 0 -> stopping = true
#endif
    :: else -> running = false; stop_done = true
    fi
  }
}

/* BlkQueue::start() */
inline start() {
  d_step {
    start_asked = false;
    next_avail = 0; next_used = 0; signalled = 0;
    running = true
  }
}

/* The loop's own thread. Awake, it serves what there is. */
active proctype Loop() {
  bool late, over, more;
end_asleep:
  do
  :: atomic { !owned && (kicked || alarm_set || stop_asked || start_asked) -> owned = true }
     do
     :: kicked -> kicked = false; on_kick()
     :: alarm_set -> on_alarm()
     :: stop_asked -> stop()
     :: start_asked -> start()
     :: in_flight > 0 -> complete()
#ifndef POLLING
     :: !kicked && !stop_asked && !start_asked -> break
#else
     :: !stopping && has_more -> serve()                    /* BlkQueue::poll() */
     :: !kicked && !stop_asked && !start_asked ->           /* BlkQueue::prepare_sleep() */
        if
        :: stopping -> more = false
        :: else -> enable_kicks()
        fi;
        if
        :: more -> serve()
        :: else -> break
        fi
#endif
     od;
     owned = false
  od
}

/* A worker of the engine, which borrows the loop to deliver. */
active proctype Worker() {
end_idle:
  do
  :: atomic { !owned && in_flight > 0 -> owned = true }
     complete();
     owned = false
  od
}

/* A virtual CPU that submits: DriverRing::add(), expose(), and BlkQueue::kick() outside the driver's lock. */
active [SUBMITTERS] proctype Submitter() {
  bool late, over, more, kick;
  byte before;
end_done:
  do
  :: atomic { !locked && to_submit > 0 && avail_idx - seen < RING -> locked = true; to_submit--; before = avail_idx }
     avail_idx++;
     d_step {
#ifdef EVENT_IDX
       kick = passes(avail_event, avail_idx, before);
#else
       kick = !no_notify;
#endif
       before = 0; locked = false
     }
     if
     :: kick ->
        kick = false;
        if
        :: atomic { !owned -> owned = true; on_kick_thread = true }
           on_kick();
           atomic { on_kick_thread = false; owned = false }
        :: kicked = true
        fi
     :: else
     fi
  od
}

/* A virtual CPU that takes what is used, and sleeps until an interrupt if there is nothing. */
active proctype Taker() {
end_sleeping:
  do
  :: atomic { !locked && seen != used_idx -> seen++ }
  :: atomic { !locked && seen == used_idx -> skip }
     /* DriverRing::enable_interrupts() */
#ifdef EVENT_IDX
     used_event = seen;
#else
     no_interrupt = false;
#endif
     if
     :: seen != used_idx
     :: else ->
end_waiting:
        atomic { interrupt -> interrupt = false }
     fi;
#ifndef EVENT_IDX
     no_interrupt = true                                    /* DriverRing::disable_interrupts() */
#endif
  od
}

#ifdef RESET
/* A virtual CPU that resets the device and sets the queue up again, maybe while requests are in flight. */
active proctype Resetter() {
  atomic { !locked -> locked = true; stop_asked = true }
  atomic {
    stop_done ->
    d_step {
      stop_done = false;
      generation++;
      avail_idx = 0; used_idx = 0; seen = 0;
      avail_event = 0; used_event = 0; no_notify = false; no_interrupt = false
      start_asked = true
    }
  }
  atomic { !start_asked -> locked = false; interrupt = true }  /* the Taker looks at the new ring */
}
#endif

active proctype NothingMoves() {
  timeout ->
  assert(avail_idx == next_avail);                          /* no lost kick */
  assert(seen == used_idx);                                 /* no lost interrupt */
  assert(to_submit == 0 && seen == avail_idx && in_flight == 0 && !locked && !owned)
}
