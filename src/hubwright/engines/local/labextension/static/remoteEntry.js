// A prebuilt JupyterLab extension by hand: the container that JupyterLab's module federation asks for, and one plugin.
// It shows the notices that the server extension emits; nothing of JupyterLab is imported, so nothing has to be built.
(() => {
  const NOTICE = 'https://hubwright.readthedocs.io/events/notice/v1';

  const plugin = {
    id: 'hubwright:notices',
    description: 'Shows notices of the server, such as a process ended for its memory.',
    autoStart: true,
    activate: app => {
      app.serviceManager.events.stream.connect((_, emission) => {
        if (emission.schema_id !== NOTICE) {
          return;
        }
        app.commands
          .execute('apputils:notify', {
            message: emission.message,
            type: emission.level,
            options: { autoClose: false }
          })
          .catch(reason => console.warn('Hubwright could not show a notice:', reason));
      });
    }
  };

  const container = {
    init: () => Promise.resolve(),
    get: () => Promise.resolve(() => ({ __esModule: true, default: plugin }))
  };
  window._JUPYTERLAB = window._JUPYTERLAB || {};
  window._JUPYTERLAB['hubwright'] = container;
})();
